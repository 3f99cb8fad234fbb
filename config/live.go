package config

import "reflect"

// Changes are the keys in which two configurations differ: those that take effect while the process runs (their tag says
// live), and those that need a restart.
func Changes(before, after *Config) (live, restart []string) {
	old := settings(before)
	for i, s := range settings(after) {
		switch {
		case reflect.DeepEqual(s.field.Interface(), old[i].field.Interface()):
		case s.live:
			live = append(live, s.key)
		default:
			restart = append(restart, s.key)
		}
	}
	return live, restart
}

// Adopt takes over the live settings of another configuration, and leaves all others as they are.
func (c *Config) Adopt(from *Config) {
	other := settings(from)
	for i, s := range settings(c) {
		if s.live {
			s.field.Set(other[i].field)
		}
	}
}
