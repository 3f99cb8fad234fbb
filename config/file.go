package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// maxFileBytes is far above any configuration: what is larger is the wrong file.
const maxFileBytes = 1 << 20

// readFile puts the file's values into viper and finds keys that are not settings.
//
// The file is decoded here and not by viper, which lowers the case of keys and takes the last of two that
// are then the same: a strict reader must see them as they stand.
func (l *loader) readFile() {
	if l.in.File == "" {
		return
	}
	tree, problem := decodeFile(l.in.File)
	if problem != nil {
		problem.Key = "file " + l.in.File
		l.problems = append(l.problems, *problem)
		l.fileLost = true
		return
	}
	l.file = make(map[string]any)
	l.walk(tree, "")
	for key, value := range l.file {
		if _, isText := value.(string); !isText && l.isList(key) {
			value = listInFile{} // viper would change the case of the keys in it
		}
		// MergeConfigMap takes whole trees; one per key keeps apart what walk has told apart.
		path := strings.Split(key, ".")
		for i := len(path) - 1; i >= 0; i-- {
			value = map[string]any{path[i]: value}
		}
		if err := l.viper.MergeConfigMap(value.(map[string]any)); err != nil {
			l.problems = append(l.problems, Problem{Key: key, Origin: "file " + l.in.File, Wrong: "cannot be read", Do: "write one value"})
		}
	}
}

// walk adds the values of a tree to l.file, by key. An empty value (`listen:`) counts as not set.
func (l *loader) walk(tree map[string]any, prefix string) {
	var known, groups []string
	for _, s := range l.settings {
		known = append(known, s.key)
		groups = append(groups, s.groups()...)
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		value := tree[name]
		key := prefix + name
		group, isGroup := asGroup(value)
		switch {
		case strings.Contains(name, ".") && (slices.Contains(known, key) || slices.Contains(groups, key)):
			l.unknown(key, "is written with a dot", "write the part behind the dot as a key of its own, below the other")
		case isGroup && slices.Contains(groups, key):
			l.walk(group, key+".")
		case value == nil && slices.Contains(groups, key):
			// A group whose keys are all commented out.
		case slices.Contains(groups, key):
			l.unknown(key, "is a group of settings, not one", "write its keys below it, such as "+example(known, key))
		case slices.Contains(known, key):
			if value != nil {
				l.file[key] = value
			}
		default:
			l.unknown(key, "is not a setting", remedy(nearest(key, known), "remove it; `tandem config defaults` lists the settings"))
		}
	}
}

// unknown notes a key of the file that sets nothing. Its value is not shown: it may be a misplaced password.
func (l *loader) unknown(key, wrong, do string) {
	l.problems = append(l.problems, Problem{Key: key, Origin: "file " + l.in.File, Wrong: wrong, Do: do})
}

// example is the first key of a group.
func example(known []string, group string) string {
	i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, group+".") })
	return known[i]
}

// asGroup returns a mapping of the file with its keys as strings.
func asGroup(value any) (map[string]any, bool) {
	switch m := value.(type) {
	case map[string]any:
		return m, true
	case map[any]any:
		group := make(map[string]any, len(m))
		for k, v := range m {
			group[fmt.Sprint(k)] = v
		}
		return group, true
	}
	return nil, false
}

// decodeFile reads a YAML or TOML file as a tree.
func decodeFile(file string) (map[string]any, *Problem) {
	ext := strings.ToLower(filepath.Ext(file))
	if ext != ".yaml" && ext != ".yml" && ext != ".toml" {
		return nil, &Problem{Wrong: "has a name that does not say its format", Do: "name it .yaml, .yml or .toml"}
	}
	f, err := os.Open(file)
	if err != nil {
		do := reason(err)
		if errors.Is(err, os.ErrPermission) {
			do += ": it may hold passwords; read it as root, or as the user that serve runs as"
		}
		return nil, &Problem{Wrong: "cannot be opened", Do: do}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, &Problem{Wrong: "cannot be read", Do: reason(err)}
	}
	if len(text) > maxFileBytes {
		return nil, &Problem{Wrong: fmt.Sprintf("is larger than %d bytes", maxFileBytes), Do: "is it the right file?"}
	}
	if ext == ".toml" {
		return decodeTOML(text)
	}
	return decodeYAML(text)
}

// reason is an error of the file system without the path, which the problem names already.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func decodeTOML(text []byte) (map[string]any, *Problem) {
	tree := make(map[string]any)
	err := toml.Unmarshal(text, &tree)
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, _ := at.Position()
		return nil, &Problem{Wrong: fmt.Sprintf("is not TOML in line %d", line), Do: withoutQuotes(at.Error())}
	}
	if err != nil {
		return nil, &Problem{Wrong: "is not TOML", Do: withoutQuotes(err.Error())}
	}
	return tree, nil
}

func decodeYAML(text []byte) (map[string]any, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	// Into any, and not into a map: the error about a file that is no mapping would hold the file.
	var root any
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Problem{Wrong: "is not YAML", Do: withoutQuotes(err.Error())}
	}
	var second any
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &Problem{Wrong: "holds more than one document", Do: `keep what is before the second "---"`}
	}
	if root == nil {
		return nil, nil
	}
	tree, ok := asGroup(root)
	if !ok {
		return nil, &Problem{Wrong: "is not a list of settings", Do: "write lines such as: listen: 127.0.0.1:6380"}
	}
	return tree, nil
}

// quoted is what a decoder quotes from the file in an error.
var quoted = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")

// withoutQuotes takes out of a decoder's error what it quotes from the file, which may be a password.
func withoutQuotes(text string) string {
	return quoted.ReplaceAllString(text, "(a value that is not shown)")
}
