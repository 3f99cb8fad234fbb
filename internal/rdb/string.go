package rdb

// StringOverhead is how much longer the payload of a string is than the string, at most.
const StringOverhead = 1 + 9 + footerSize

// AppendStringHead appends what stands in front of a string of n bytes in its payload. The string and Seal come next.
func AppendStringHead(p []byte, n int) []byte {
	return appendLength(append(p, typeString), uint64(n))
}

// Seal ends a payload of a string, in a version that all servers read: one that is not compressed has had this form ever
// since.
func Seal(p []byte) []byte { return seal(p, asked[0]) }

// IsString reports whether a payload is a string's.
func IsString(p []byte) bool { return version(p) != 0 && p[0] == typeString }
