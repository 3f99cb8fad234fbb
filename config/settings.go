package config

import (
	"errors"
	"reflect"
	"slices"
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
	// goName is the Go type and its field, such as "Clients.Max".
	goName string

	def    string   // default, in the form in which a user writes it
	oneof  []string // the values that there are, if they are few
	later  []string // those of oneof that this version does not have yet
	live   bool     // takes effect when the configuration is read again; others need a restart
	lo, hi string   // least and greatest value, in the form in which a user writes it
}

// settings lists all keys of c, in the order of its fields.
func settings(c *Config) []setting { return appendSettings(nil, reflect.ValueOf(c).Elem(), "") }

func appendSettings(list []setting, v reflect.Value, prefix string) []setting {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := prefix + f.Tag.Get("key")
		if f.Type.Kind() == reflect.Struct {
			list = appendSettings(list, v.Field(i), key+".")
			continue
		}
		list = append(list, setting{
			key:    key,
			field:  v.Field(i),
			goName: v.Type().Name() + "." + f.Name,
			def:    f.Tag.Get("default"),
			oneof:  strings.Fields(f.Tag.Get("oneof")),
			later:  strings.Fields(f.Tag.Get("later")),
			live:   f.Tag.Get("live") != "",
			lo:     f.Tag.Get("min"),
			hi:     f.Tag.Get("max"),
		})
	}
	return list
}

// groups are the names of the groups that the setting is in, the outermost first: of source.tls.ca_file,
// source and source.tls.
func (s setting) groups() []string {
	var list []string
	for i, r := range s.key {
		if r == '.' {
			list = append(list, s.key[:i])
		}
	}
	return list
}

// set reads a value in the form in which a user writes it. The error says what is wrong with it, as the
// rest of a sentence that begins with the value.
func (s setting) set(text string) error {
	if s.isList() {
		return s.setList(text)
	}
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
	case Share:
		return ParseShare(text)
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
	case CommandName:
		return commandName(text)
	case CheckName:
		return checkName(text)
	default: // string, Secret, URL
		return text, nil
	}
}

// check says what is wrong with a value of a file that is not one value, or that the file's format has
// read as something else than what was written (a token 0123 as the number 83), and what to do.
func (s setting) check(value any) (wrong, do string) {
	switch value.(type) {
	case string:
		return "", ""
	case int, int64, uint64, float64, bool:
		if s.field.Kind() == reflect.String {
			return "is a number or a truth value where a text is needed", "write it in quotes"
		}
		return "", ""
	}
	return "is not one value", "write one value"
}

// secret tells whether a value of this setting that could not be read must not be shown.
func (s setting) secret() bool {
	switch s.field.Interface().(type) {
	case Secret, URL, []User, []Hook:
		return true
	}
	return false
}

// form says how a value of this setting is written.
func (s setting) form() string {
	switch s.field.Interface().(type) {
	case Bytes:
		return "write a number of bytes, or one with a unit such as 64MiB"
	case Share:
		return "write a number from 0 to 1 such as 0.05, or 5%"
	case time.Duration:
		return "write a number with a unit such as 500ms, 10s or 5m"
	case int:
		return "write a whole number"
	case bool:
		return "write true or false"
	}
	if s.isList() {
		return s.listForm()
	}
	if len(s.oneof) > 0 {
		return "write " + strings.Join(s.available(), " or ")
	}
	return "write a text"
}

// available lists the values of oneof that this version has.
func (s setting) available() []string {
	var have []string
	for _, v := range s.oneof {
		if !slices.Contains(s.later, v) {
			have = append(have, v)
		}
	}
	return have
}
