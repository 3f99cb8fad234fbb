package status

import "encoding/json"

// Optional is a number that may be unknown. Its zero value is unknown, and null in JSON.
type Optional[T int64 | float64] struct {
	value T
	known bool
}

// Known is the number v.
func Known[T int64 | float64](v T) Optional[T] { return Optional[T]{value: v, known: true} }

// Get returns the number, or 0 and false when it is not known.
func (o Optional[T]) Get() (T, bool) { return o.value, o.known }

// MarshalJSON writes the number or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.known {
		return []byte("null"), nil
	}
	return json.Marshal(o.value)
}

// UnmarshalJSON reads a number or null.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = Optional[T]{}
		return nil
	}
	o.known = true
	return json.Unmarshal(b, &o.value)
}
