package instance

import "testing"

// A temporary key is in the slot of the key that it stands for; those of some keys are as a server in cluster mode
// answers CLUSTER KEYSLOT.
func TestTemporaryKeysKeepTheSlot(t *testing.T) {
	keys := NewTemporaryKeys()
	for key, want := range map[string]uint16{
		"": 0, "foo": 12182, "{user1000}.following": 3443, "user1000": 3443, "foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "a}b": 7866,
	} {
		name := keys.Next([]byte(key))
		if got := slot([]byte(key)); got != want {
			t.Errorf("%q is in slot %d, want %d", key, got, want)
		}
		if slot([]byte(name)) != slot([]byte(key)) {
			t.Errorf("%q is in slot %d, %q in %d", name, slot([]byte(name)), key, slot([]byte(key)))
		}
		if !IsTemporaryKey(name) || !keys.Own(name) || NewTemporaryKeys().Own(name) {
			t.Errorf("%q is not taken for what it is", name)
		}
	}
	for _, name := range []string{"", "tandem:copy:", "tandem:copy:x", "tandem:copy:0123456789abcdef:1:{x}", "tandem:copy:0123456789abcdef:1:7",
		"tandem:precheck:0123456789abcdef", "tandem:copy:0123456789abcdef:1:{7}:more"} {
		if IsTemporaryKey(name) {
			t.Errorf("%q is taken for a temporary key", name)
		}
	}
}
