package resp

import "github.com/tidwall/redcon"

// AppendCommand appends a request to dst.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = redcon.AppendArray(dst, len(args))
	for _, arg := range args {
		dst = redcon.AppendBulkString(dst, arg)
	}
	return dst
}

// AppendArgs appends a request to dst.
func AppendArgs(dst []byte, args [][]byte) []byte {
	dst = redcon.AppendArray(dst, len(args))
	for _, arg := range args {
		dst = redcon.AppendBulk(dst, arg)
	}
	return dst
}

// Args splits one request, an array of bulk strings that Guard has found complete or that AppendArgs has made,
// and appends its arguments to dst. They point into raw. It returns nil when raw is not exactly that.
func Args(raw []byte, dst [][]byte) [][]byte {
	if len(raw) == 0 || raw[0] != '*' {
		return nil
	}
	count, i := quickLength(raw, 1)
	if i == 0 {
		return nil
	}
	for range count {
		if i >= len(raw) || raw[i] != '$' {
			return nil
		}
		size, start := quickLength(raw, i+1)
		end := start + size
		if start == 0 || end+2 > len(raw) || raw[end] != '\r' || raw[end+1] != '\n' {
			return nil
		}
		dst = append(dst, raw[start:end:end])
		i = end + 2
	}
	if i != len(raw) {
		return nil
	}
	return dst
}

// Longest is the length of the longest argument of whole requests, one behind the other, each as Args takes them. It
// ends at what is not that.
func Longest(requests []byte) (most int) {
	for i := 0; i < len(requests) && requests[i] == '*'; {
		count, at := quickLength(requests, i+1)
		if at == 0 {
			return most
		}
		for range count {
			if at >= len(requests) || requests[at] != '$' {
				return most
			}
			size, start := quickLength(requests, at+1)
			end := start + size + 2
			if start == 0 || end > len(requests) {
				return most
			}
			most, at = max(most, size), end
		}
		i = at
	}
	return most
}
