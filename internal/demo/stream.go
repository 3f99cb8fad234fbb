package demo

import (
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// notContent are the fields of XINFO STREAM FULL that tell of a server's memory or of the time of a visit,
// and not of the stream: they may differ between two equal ones.
var notContent = map[string]bool{
	"radix-tree-keys": true, "radix-tree-nodes": true, "seen-time": true, "active-time": true,
}

// Positions in an element of a pending list: the group's is id, consumer, delivery time, delivery count; a
// consumer's lacks the consumer. Delivery times are set by each server's own clock.
const (
	groupDeliveryTime    = 2
	consumerDeliveryTime = 1
)

// streamContent flattens XINFO STREAM FULL to lines, entries, groups, consumers and pending entries all in,
// without what may differ between equal streams.
func streamContent(message *rueidis.RedisMessage) ([]string, error) {
	var lines []string
	err := flattenFields(message, "", &lines)
	if err != nil {
		return nil, fmt.Errorf("XINFO STREAM: %w", err)
	}
	return lines, nil
}

// flattenFields flattens a map, which RESP2 sends as a flat array of names and values.
func flattenFields(message *rueidis.RedisMessage, path string, into *[]string) error {
	fields, err := message.ToArray()
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		name, err := fields[i].ToString()
		if err != nil {
			return err
		}
		if notContent[name] {
			continue
		}
		value, at := &fields[i+1], path+"/"+name
		switch name {
		case "groups", "consumers":
			elements, err := value.ToArray()
			if err != nil {
				return err
			}
			for n := range elements {
				if err := flattenFields(&elements[n], fmt.Sprintf("%s/%d", at, n), into); err != nil {
					return err
				}
			}
		case "pel", "pending":
			skip := groupDeliveryTime
			if strings.Contains(path, "/consumers/") {
				skip = consumerDeliveryTime
			}
			if err := flattenPending(value, at, skip, into); err != nil {
				return err
			}
		default:
			flatten(value, at, into)
		}
	}
	return nil
}

// flattenPending flattens a list of pending entries but for their delivery times. Where a version of the
// server sends a count instead, that is taken.
func flattenPending(message *rueidis.RedisMessage, path string, deliveryTime int, into *[]string) error {
	if !message.IsArray() {
		flatten(message, path, into)
		return nil
	}
	entries, err := message.ToArray()
	if err != nil {
		return err
	}
	for n := range entries {
		fields, err := entries[n].ToArray()
		if err != nil {
			return err
		}
		for i := range fields {
			if i != deliveryTime {
				flatten(&fields[i], fmt.Sprintf("%s/%d/%d", path, n, i), into)
			}
		}
	}
	return nil
}

// flatten writes any other value, its elements one to a line.
func flatten(message *rueidis.RedisMessage, path string, into *[]string) {
	if elements, err := message.ToArray(); err == nil {
		for n := range elements {
			flatten(&elements[n], fmt.Sprintf("%s/%d", path, n), into)
		}
		*into = append(*into, fmt.Sprintf("%s has %d", path, len(elements)))
		return
	}
	if n, err := message.ToInt64(); err == nil {
		*into = append(*into, fmt.Sprintf("%s = %d", path, n))
		return
	}
	text, err := message.ToString()
	if err != nil {
		text = err.Error() // a null
	}
	*into = append(*into, fmt.Sprintf("%s = %q", path, text))
}
