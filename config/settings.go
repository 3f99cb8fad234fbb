package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setting is one key: a field of a Config, and what its tags say of it.
type setting struct {
	// key is the path in the file, such as "clients.max".
	key string
	// field is the Config's own field; setting it sets the Config.
	field reflect.Value
	// path is the field's place in the Go type, such as "Clients.Max".
	path string

	def    string   // default, in the form in which a user writes it
	oneof  []string // the values that there are, if they are few
	later  []string // those of oneof that this version does not have yet
	lo, hi string   // least and greatest value, in the form in which a user writes it
}

// settings lists all keys of c, in the order of its fields.
func settings(c *Config) []setting { return appendSettings(nil, reflect.ValueOf(c).Elem(), "", "") }

func appendSettings(list []setting, v reflect.Value, prefix, path string) []setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, name := prefix+f.Tag.Get("key"), path+f.Name
		if f.Type.Kind() == reflect.Struct {
			list = appendSettings(list, v.Field(i), key+".", name+".")
			continue
		}
		list = append(list, setting{
			key:   key,
			field: v.Field(i),
			path:  name,
			def:   f.Tag.Get("default"),
			oneof: strings.Fields(f.Tag.Get("oneof")),
			later: strings.Fields(f.Tag.Get("later")),
			lo:    f.Tag.Get("min"),
			hi:    f.Tag.Get("max"),
		})
	}
	return list
}

// env is the variable of the key by the general rule.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// set reads a value in the form in which a user writes it. The error says what is wrong with it, as the
// rest of a sentence that begins with the value.
func (s setting) set(text string) error {
	n, err := s.parse(text)
	if err != nil {
		return err
	}
	s.field.Set(reflect.ValueOf(n).Convert(s.field.Type()))
	return nil
}

// parse reads a value as the Go type of the field.
func (s setting) parse(text string) (any, error) {
	switch s.field.Interface().(type) {
	case Bytes:
		return ParseBytes(text)
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, errors.New("is not a duration")
		}
		return d, nil
	case int:
		n, err := strconv.Atoi(text)
		if errors.Is(err, strconv.ErrRange) {
			return nil, errors.New("is too large")
		}
		if err != nil {
			return nil, errors.New("is not a whole number")
		}
		return n, nil
	case bool:
		switch strings.ToLower(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, errors.New("is neither true nor false")
	default: // string, Secret, URL
		return text, nil
	}
}

// form says how a value of this setting is written.
func (s setting) form() string {
	switch s.field.Interface().(type) {
	case Bytes:
		return "write a number of bytes, or one with a unit such as 64MiB"
	case time.Duration:
		return "write a number with a unit such as 500ms, 10s or 5m"
	case int:
		return "write a whole number"
	case bool:
		return "write true or false"
	}
	if len(s.oneof) > 0 {
		return "write " + strings.Join(s.available(), " or ")
	}
	return "write it in quotes"
}

// available lists the values of oneof that this version has.
func (s setting) available() []string {
	var have []string
	for _, v := range s.oneof {
		if !contains(s.later, v) {
			have = append(have, v)
		}
	}
	return have
}

func contains(list []string, v string) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// text is the value as a user would write it, with passwords and tokens hidden.
func (s setting) text() string {
	switch v := s.field.Interface().(type) {
	case time.Duration:
		return shortDuration(v)
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration is d.String() without the zero units at its end: 5m0s is 5m.
func shortDuration(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}
