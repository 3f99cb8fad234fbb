package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// listInFile stands in viper for a list of the file.
type listInFile struct{}

// isList tells a setting that is a list: of command names, or of objects whose keys are their fields' tags.
func (s setting) isList() bool { return s.field.Kind() == reflect.Slice }

func (l *loader) isList(key string) bool {
	return slices.ContainsFunc(l.settings, func(s setting) bool { return s.key == key && s.isList() })
}

// setList reads a list as a file gives it, or its text: as YAML (or JSON) where it begins with "[", else names
// with commas between them. The error is as that of set, and repeats no value.
func (s setting) setList(value any) error {
	elems, err := elements(value)
	if err != nil {
		return err
	}
	list := reflect.Zero(s.field.Type())
	for i, e := range elems {
		into := reflect.New(s.field.Type().Elem()).Elem()
		if into.Kind() == reflect.Struct {
			err = setObject(into, e)
		} else {
			err = setting{field: into}.setName(e)
		}
		if err != nil {
			return fmt.Errorf("has an element %d that %w", i+1, err)
		}
		list = reflect.Append(list, into)
	}
	s.field.Set(list)
	return nil
}

// elements takes a list apart.
func elements(value any) ([]any, error) {
	switch v := value.(type) {
	case []any:
		return v, nil
	case []map[string]any: // of TOML
		var list []any
		for _, e := range v {
			list = append(list, e)
		}
		return list, nil
	case string:
		var list []any
		if text := strings.TrimSpace(v); strings.HasPrefix(text, "[") {
			if yaml.Unmarshal([]byte(text), &list) != nil { // its error may quote a password
				return nil, errors.New("is not a list")
			}
			return list, nil
		}
		for _, name := range strings.Split(v, ",") {
			if name = strings.TrimSpace(name); name != "" {
				list = append(list, name)
			}
		}
		return list, nil
	}
	return nil, errors.New("is not a list")
}

// setName sets an element that is one value.
func (s setting) setName(value any) error {
	if s.field.Kind() == reflect.Int {
		return s.set(fmt.Sprint(value))
	}
	text, ok := value.(string)
	if !ok {
		return errors.New("is not a text")
	}
	return s.set(text)
}

// setObject sets the fields of an element that is an object; those not given get their defaults.
func setObject(into reflect.Value, value any) error {
	fields := appendSettings(nil, into, "")
	for _, f := range fields {
		if f.def != "" {
			_ = f.set(f.def) // a tag; a test reads all
		}
	}
	object, ok := asGroup(value)
	if !ok {
		return fmt.Errorf("is not an object with the keys %s", names(fields))
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		i := slices.IndexFunc(fields, func(f setting) bool { return f.key == key })
		if i < 0 {
			return fmt.Errorf("has the unknown key %s: it has %s", key, names(fields))
		}
		if object[key] == nil {
			continue
		}
		if fields[i].isList() {
			if err := fields[i].setList(object[key]); err != nil {
				return fmt.Errorf("has a %s that %w", key, err)
			}
			continue
		}
		if wrong, _ := fields[i].check(object[key]); wrong != "" {
			return fmt.Errorf("has a %s that %s", key, wrong)
		}
		if err := fields[i].set(fmt.Sprint(object[key])); err != nil {
			return fmt.Errorf("has a %s that %w", key, err)
		}
	}
	return nil
}

func names(fields []setting) string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return strings.Join(keys, ", ")
}

// objects are the settings of each element of a list of objects, by their keys in the object.
func (s setting) objects() [][]setting {
	if s.field.Type().Elem().Kind() != reflect.Struct {
		return nil
	}
	var list [][]setting
	for i := range s.field.Len() {
		list = append(list, appendSettings(nil, s.field.Index(i), ""))
	}
	return list
}

// yamlList is the list as one line of YAML, with passwords hidden; of objects, what is not at its default.
func (s setting) yamlList() string {
	var elems []string
	if s.field.Type().Elem().Kind() == reflect.Struct {
		for _, object := range s.objects() {
			var parts []string
			for _, f := range object {
				if text := f.text(); text != f.def {
					parts = append(parts, f.key+": "+f.yaml())
				}
			}
			elems = append(elems, "{"+strings.Join(parts, ", ")+"}")
		}
	} else {
		for i := range s.field.Len() {
			e := setting{field: s.field.Index(i)}
			text := e.text()
			if _, name := e.field.Interface().(CommandName); !name && strings.ContainsFunc(text, needsQuotes) || text == "" {
				text = strconv.Quote(text)
			}
			elems = append(elems, text)
		}
	}
	return "[" + strings.Join(elems, ", ") + "]"
}

// needsQuotes tells a letter that a text cannot have in a list without quotes.
func needsQuotes(r rune) bool {
	return r != '_' && r != '-' && r != '/' && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// listText is the list as a user would write it into a variable.
func (s setting) listText() string {
	if text := s.yamlList(); s.field.Type().Elem().Kind() == reflect.Struct || text == "[]" {
		return text
	} else {
		return strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	}
}

func (s setting) listForm() string {
	elem := s.field.Type().Elem()
	if elem == reflect.TypeFor[CheckName]() {
		return "write a list of names as the precheck shows them, such as [source_eviction, clocks]"
	}
	if elem.Kind() != reflect.Struct {
		return "write a list of names, such as [SHUTDOWN, CONFIG SET]"
	}
	return "write a list of objects {" + names(appendSettings(nil, reflect.New(elem).Elem(), "")) + "}"
}
