// Package glob matches keys against patterns as KEYS and SCAN MATCH do: * is any bytes, ? one byte, [a-z] one of
// several, [^a-z] one of all others, and \ takes the meaning from what follows. It works on bytes, and in no more time
// than the product of both lengths.
package glob

// Match reports whether the whole name matches the pattern.
func Match[T string | []byte](pattern string, name T) bool {
	// Where to go on when what follows the last star does not match: the star takes one byte more.
	starPattern, starName := -1, 0
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			starPattern, starName = p+1, n
			p++
			continue
		}
		if next, ok := matchOne(pattern, p, name[n]); ok {
			p, n = next, n+1
			continue
		}
		if starPattern < 0 {
			return false
		}
		starName++
		p, n = starPattern, starName
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one byte with what stands at p, and returns where the next begins.
func matchOne(pattern string, p int, c byte) (next int, ok bool) {
	if p >= len(pattern) {
		return 0, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == c
}

// matchClass matches a byte with the class that begins at p, behind its bracket. A class that is not closed ends with
// the pattern, and a range may be written in either order, as the servers have it.
func matchClass(pattern string, p int, c byte) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	found := false
	for ; p < len(pattern) && pattern[p] != ']'; p++ {
		switch {
		case pattern[p] == '\\' && p+1 < len(pattern):
			p++
			found = found || pattern[p] == c
		case p+2 < len(pattern) && pattern[p+1] == '-':
			from, to := pattern[p], pattern[p+2]
			found = found || min(from, to) <= c && c <= max(from, to)
			p += 2
		default:
			found = found || pattern[p] == c
		}
	}
	if p < len(pattern) {
		p++
	}
	return p, found != not
}
