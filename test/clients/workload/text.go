package workload

import (
	"fmt"
	"sort"
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
		*words = append(*words, v.Error())
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
		keys := make([]string, 0, len(v))
		byText := map[string]any{}
		for k, e := range v {
			text := Text(k)
			keys, byText[text] = append(keys, text), e
		}
		sort.Strings(keys)
		for _, k := range keys {
			*words = append(*words, k)
			appendWords(words, byText[k])
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
