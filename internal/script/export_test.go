package script

// CommandLine is a line of the table, for tests outside of the package.
type CommandLine struct {
	Args  string
	Write bool
}

// Commands lists the table by name.
func Commands() map[string]CommandLine {
	all := map[string]CommandLine{}
	for name, c := range commands {
		all[name] = CommandLine{c.args, c.write}
	}
	return all
}
