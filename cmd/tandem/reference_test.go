package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tandem/internal/generated"
)

const referenceFile = "../../docs/reference/commands.md"

// TestReferenceIsCurrent fails when the reference does not say what the commands say.
func TestReferenceIsCurrent(t *testing.T) {
	want := commandReference(newRootCommand())
	generated.File(t, referenceFile, want, "go generate ./cmd/tandem")
}

// commandReference is the page about all commands.
func commandReference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from cmd/tandem by: go generate ./cmd/tandem -->\n# Commands\n\n")
	b.WriteString("Settings come from flags, else from the environment, else from the file given with `-c`: see\n" +
		"[configuration](configuration.md). Commands that talk to a running tandem find it by `--admin`, else by\n" +
		"`TANDEM_ADMIN_LISTEN`, and take the token from `TANDEM_ADMIN_TOKEN` or the file\n`TANDEM_ADMIN_TOKEN_FILE`. Results go to stdout, everything else to stderr.\n\nWith `--json`, stdout is for programs: one object, or lines of them where it says so. What has gone wrong is an object, too, `{error, blockers,\nproblems}`: the blockers of a step, the mistakes of a configuration.\n\n")
	b.WriteString("## Exit status\n\n| status | meaning |\n|---|---|\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(&b, "| %d | %s |\n", s.code, s.meaning)
	}
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				describe(&b, c)
			}
		}
	}
	return b.String()
}

// describe writes a command and those below it.
func describe(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", c.CommandPath(), about(c))
	if c.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", unindent(c.Example))
	}
	var rows []string
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { rows = append(rows, flagRow(f)) })
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n| flag | meaning |\n|---|---|\n%s\n", strings.Join(rows, "\n"))
	}
	for _, below := range c.Commands() {
		describe(b, below)
	}
}

func flagRow(f *pflag.Flag) string {
	name, usage := pflag.UnquoteUsage(f)
	flag := "`--" + strings.TrimSpace(f.Name+" "+name) + "`"
	if f.Shorthand != "" {
		flag = "`-" + f.Shorthand + "`, " + flag
	}
	if f.DefValue != "" && f.DefValue != "false" {
		usage += " (default `" + f.DefValue + "`)"
	}
	return "| " + flag + " | " + usage + " |"
}
