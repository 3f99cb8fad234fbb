package router

import (
	"strings"
	"testing"

	"tandem/internal/resp"
)

func TestNumbersOfDatabasesAreTranslated(t *testing.T) {
	for line, want := range map[string]string{
		"MOVE k 3":                      "MOVE k 13",
		"swapdb 0 1":                    "swapdb 10 11",
		"COPY DB 3 DB 2":                "COPY DB 3 DB 12",
		"COPY a b replace db 2":         "COPY a b replace db 12",
		"COPY a b DB 2 DB 4 REPLACE":    "COPY a b DB 12 DB 14 REPLACE",
		"COPY a b REPLACE":              "",
		"COPY 1 2":                      "",
		"MOVE k x":                      "MOVE k x",
		"MOVE k -1":                     "MOVE k -1",
		"MOVE k 99999999999999999999":   "MOVE k 99999999999999999999",
		"MOVE k":                        "",
		"SWAPDB 1":                      "",
		"SET DB 3":                      "",
		"COPY a b DB":                   "",
		"RENAME a b":                    "",
		"SORT a STORE b":                "",
		"OBJECT FREQ k":                 "",
		"COPY a b DB 0 REPLACE DB nine": "COPY a b DB 10 REPLACE DB nine",
	} {
		var args [][]byte
		for word := range strings.FieldsSeq(line) {
			args = append(args, []byte(word))
		}
		cmd := Lookup(args)
		if names := cmd.NamesDatabases(args); names != (want != "") {
			t.Errorf("%s names databases: %v", line, names)
			continue
		}
		if want == "" {
			continue
		}
		raw := cmd.WithNumbers(args, func(db int) int { return db + 10 })
		var got []string
		for _, a := range resp.Args(raw, nil) {
			got = append(got, string(a))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s becomes %s, want %s", line, strings.Join(got, " "), want)
		}
		if strings.Join(strings.Fields(line), " ") != line || string(args[len(args)-1]) != line[strings.LastIndex(line, " ")+1:] {
			t.Errorf("%s has changed", line)
		}
	}
}
