package precheck

import "slices"

// Known reports whether a check has this name: of its item, or of one of its items if it is made for both sides.
func Known(name string) bool { return slices.Contains(Names(), name) }

// Names are the names of all items that there may be.
func Names() []string {
	var names []string
	for _, c := range checks {
		if c.each {
			names = append(names, "source_"+c.name, "target_"+c.name)
		} else {
			names = append(names, c.name)
		}
	}
	return names
}

// Unaccepted are the warnings that nobody has accepted.
func (r *Report) Unaccepted() []Item {
	var list []Item
	for _, item := range r.Items {
		if item.Status == Warning && item.Accept != "" {
			list = append(list, item)
		}
	}
	return list
}
