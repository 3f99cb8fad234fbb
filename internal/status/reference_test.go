package status

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"tandem/internal/generated"
)

const referenceFile = "../../docs/reference/status.md"

// TestReferenceIsCurrent fails when the reference does not say what status.go says.
func TestReferenceIsCurrent(t *testing.T) {
	r := reference{docs: readDocs(t)}
	r.rows(reflect.TypeFor[Status](), "")
	for _, field := range r.missing {
		t.Errorf("%s has no comment", field)
	}
	want := `<!-- Generated from internal/status/status.go by: go generate ./internal/status -->
# Status

` + "`GET /api/v1/status` and `tandem status --json`" + ` give one JSON object. Every field is always there; a number
that is not known is null. Fields may be added later, never renamed or left out.

| field | type | meaning |
|---|---|---|
` + r.text.String()
	generated.File(t, referenceFile, want, "go generate ./internal/status")
}

// reference collects the rows of the table.
type reference struct {
	docs    map[string]string
	text    strings.Builder
	missing []string
}

// rows adds a row for each field of a type, and for each of those below it.
func (r *reference) rows(t reflect.Type, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("json")
		field := t.Name() + "." + f.Name
		switch {
		case f.Type.Kind() == reflect.Slice:
			r.row(name, "list", field, f.Name)
			r.rows(f.Type.Elem(), name+"[].")
		case f.Type.Kind() == reflect.Struct && !strings.HasPrefix(f.Type.Name(), "Optional"):
			r.rows(f.Type, name+".")
		default:
			r.row(name, jsonType(f.Type), field, f.Name)
		}
	}
}

// row adds one row. Comments begin with the field's Go name, which is no concern of a reader of JSON.
func (r *reference) row(name, kind, field, goName string) {
	doc := r.docs[field]
	if doc == "" {
		r.missing = append(r.missing, field)
		return
	}
	doc = regexp.MustCompile(`^`+goName+`( is|:| are)? `).ReplaceAllString(doc, "")
	fmt.Fprintf(&r.text, "| `%s` | %s | %s |\n", name, kind, strings.ToUpper(doc[:1])+doc[1:])
}

func jsonType(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Optional[int64]](), reflect.TypeFor[Optional[float64]]():
		return "number or null"
	case reflect.TypeFor[bool]():
		return "boolean"
	case reflect.TypeFor[string]():
		return "string"
	}
	return "number"
}

// readDocs returns the comments of status.go's fields, by "Type.Field".
func readDocs(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				docs[spec.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return true
	})
	return docs
}
