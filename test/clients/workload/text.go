package workload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Text is a decoded reply as one line, the same for RESP2 and RESP3: elements separated by spaces, nested ones
// flat, maps by key, null as (nil), errors as their text.
func Text(reply any) string {
	var words []string
	appendWords(&words, reply)
	return strings.Join(words, " ")
}

func appendWords(words *[]string, reply any) {
	switch v := reply.(type) {
	case nil:
		*words = append(*words, "(nil)")
	case error:
		// Some libraries leave the usual word out.
		*words = append(*words, strings.TrimPrefix(v.Error(), "ERR "))
	case []byte:
		*words = append(*words, string(v))
	case string:
		*words = append(*words, v)
	case float64:
		*words = append(*words, strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		for _, e := range v {
			appendWords(words, e)
		}
	case map[any]any:
		byText := make(map[string]any, len(v))
		for k, e := range v {
			byText[Text(k)] = e
		}
		appendWords(words, byText)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			*words = append(*words, k)
			appendWords(words, v[k])
		}
	default:
		*words = append(*words, fmt.Sprint(v))
	}
}

// Check compares the replies of a batch with what they must be.
func Check(steps []Step, replies []any) error {
	if len(replies) != len(steps) {
		return fmt.Errorf("%d replies to %d commands", len(replies), len(steps))
	}
	for i, s := range steps {
		if got := Text(replies[i]); got != s.Want {
			return fmt.Errorf("%s: %q, want %q", s, got, s.Want)
		}
	}
	return nil
}
