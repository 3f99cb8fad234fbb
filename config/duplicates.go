package config

import "fmt"

// duplicates checks what is said of keys by pattern.
func (v *validator) duplicates() {
	const key = "duplicates_by_pattern"
	seen := make(map[string]bool)
	for i, r := range v.config.DuplicatesByPattern {
		wrong, do := "", ""
		switch {
		case r.Pattern == "":
			wrong, do = "without a pattern", "write one as for KEYS, such as session:*"
		case r.Policy == "":
			wrong, do = "without a policy", "write error, overwrite, skip or newest"
		case seen[r.Pattern]:
			wrong, do = fmt.Sprintf("that has the pattern %q again", r.Pattern), "leave one of them: the first counts"
		}
		if wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
		seen[r.Pattern] = true
	}
	for _, s := range settings(v.config) {
		if s.key != key {
			continue
		}
		for i, object := range s.objects() {
			for _, f := range object {
				if f.text() != "" { // of those without, all has been said
					f.key = fmt.Sprintf("%s[%d].%s", key, i+1, f.key)
					v.value(f)
				}
			}
		}
	}
}
