package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCommand writes the manual pages. It is for who makes a package, and hidden from others.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages of all commands into a directory",
		Example: `  tandem man /usr/local/share/man/man1`,
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeManual(cmd.Root(), ownVersion(), args[0])
		},
	}
}

// writeManual writes a page for c and each command below it: tandem.1, tandem-serve.1, ...
func writeManual(c *cobra.Command, version, dir string) error {
	page := filepath.Join(dir, manName(c)+".1")
	if err := os.WriteFile(page, []byte(manPage(c, version)), 0o644); err != nil {
		return fmt.Errorf("write a manual page: %w", err)
	}
	for _, below := range c.Commands() {
		if isDocumented(below) {
			if err := writeManual(below, version, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// isDocumented leaves out what is hidden and what cobra adds by itself.
func isDocumented(c *cobra.Command) bool { return c.IsAvailableCommand() && c.Name() != "help" }

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage is a page in the form of man(7).
func manPage(c *cobra.Command, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q \"Tandem\"\n", strings.ToUpper(manName(c)), "tandem "+version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(strings.ToLower(c.Short[:1])+c.Short[1:]))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s", manText(about(c)))
	var flags []*pflag.Flag
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, f)
		}
	})
	if len(flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, f := range flags {
			name, usage := pflag.UnquoteUsage(f)
			flag := "\\fB" + roff("--"+f.Name) + "\\fP"
			if f.Shorthand != "" {
				flag = "\\fB" + roff("-"+f.Shorthand) + "\\fP, " + flag
			}
			if name != "" {
				flag += " \\fI" + roff(name) + "\\fP"
			}
			fmt.Fprintf(&b, ".TP\n%s\n%s\n", flag, roff(strings.ToUpper(usage[:1])+usage[1:]+"."))
		}
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(unindent(c.Example)))
	}
	if !c.HasParent() {
		b.WriteString(".SH EXIT STATUS\n")
		for _, s := range exitStatuses {
			fmt.Fprintf(&b, ".TP\n%d\n%s\n", s.code, roff(strings.ReplaceAll(s.meaning, "`", "")))
		}
		b.WriteString(".SH ENVIRONMENT\nEvery setting has a variable: TANDEM_ and its key in upper case, with _ for each dot. A flag " +
			"comes before a variable, a variable before the file, the file before the default.\n")
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", seeAlso(c))
	return b.String()
}

// about is what a command does, in sentences.
func about(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

// unindent takes away the blanks that lines begin with.
func unindent(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}

// manText writes paragraphs; lines that are indented stay lines.
func manText(text string) string {
	var b strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(&b, ".nf\n%s\n.fi\n", roff(paragraph))
			continue
		}
		b.WriteString(roff(paragraph) + "\n")
	}
	return b.String()
}

// seeAlso are the pages above and below.
func seeAlso(c *cobra.Command) string {
	var pages []string
	add := func(c *cobra.Command) { pages = append(pages, ".BR "+roff(manName(c))+" (1)") }
	if c.HasParent() {
		add(c.Parent())
	}
	for _, below := range c.Commands() {
		if isDocumented(below) {
			add(below)
		}
	}
	return strings.Join(pages, " ,\n")
}

// roff takes from a text what man(7) would take for its own.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
