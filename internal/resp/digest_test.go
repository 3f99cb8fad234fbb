package resp

import (
	"errors"
	"testing"
)

// alike are groups of replies that say the same; no two groups do.
var alike = [][]string{
	{"$-1\r\n", "*-1\r\n", "_\r\n", "|1\r\n+a\r\n+b\r\n_\r\n"},
	{"+OK\r\n", "$2\r\nOK\r\n", "=6\r\ntxt:OK\r\n", "$?\r\n;1\r\nO\r\n;1\r\nK\r\n;0\r\n", "|1\r\n+a\r\n-b\r\n+OK\r\n"},
	{"+\r\n", "$0\r\n\r\n", "$?\r\n;0\r\n"},
	{":1\r\n", "#t\r\n"},
	{":0\r\n", "#f\r\n", ":-0\r\n"},
	{":-1\r\n"},
	{",1\r\n", "$1\r\n1\r\n", "+1\r\n", "$3\r\n1.0\r\n", "(1\r\n", "$3\r\n1e0\r\n"},
	{",0\r\n", "$1\r\n0\r\n", "$2\r\n-0\r\n", ",-0.0\r\n"},
	{",1.5\r\n", "$3\r\n1.5\r\n", "$4\r\n1.50\r\n", ",15e-1\r\n"},
	{",0.1\r\n", "$19\r\n0.10000000000000001\r\n"},
	{",inf\r\n", "$3\r\ninf\r\n"},
	{",-inf\r\n", "$4\r\n-inf\r\n"},
	{",1e+20\r\n", "$5\r\n1e+20\r\n", "$5\r\n1e020\r\n"},
	{"$21\r\n100000000000000000000\r\n"},
	{"$16\r\n9007199254740993\r\n"},
	{"$16\r\n9007199254740992\r\n"},
	{"$15\r\n123456789012345\r\n", ",123456789012345\r\n", "$17\r\n123456789012345.0\r\n"},
	{"$3\r\n007\r\n"}, {"$1\r\n7\r\n", ",7\r\n"}, {"$2\r\n+7\r\n"}, {"$2\r\n 7\r\n"}, {"$2\r\n7 \r\n"}, {"$2\r\n.7\r\n"}, {"$2\r\n7.\r\n"},
	{"$3\r\n0x7\r\n"}, {"$3\r\n1_0\r\n"}, {"$1\r\n-\r\n"}, {"$2\r\n1e\r\n"}, {"$5\r\n1e999\r\n"},
	{"*0\r\n", "~0\r\n", "%0\r\n", "*?\r\n.\r\n"},
	{"*2\r\n+a\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n", "~2\r\n+a\r\n:1\r\n", ">2\r\n+a\r\n:1\r\n", "*?\r\n+a\r\n:1\r\n.\r\n", "%?\r\n+a\r\n:1\r\n.\r\n"},
	{"*2\r\n:1\r\n+a\r\n"},
	{"*1\r\n*2\r\n+a\r\n:1\r\n"},
	{"*2\r\n*1\r\n+a\r\n:1\r\n"},
	{"*2\r\n+a\r\n*1\r\n:1\r\n"},
	{"*1\r\n*0\r\n"},
	{"*1\r\n_\r\n", "*1\r\n$-1\r\n"},
	{"*2\r\n+a\r\n+b\r\n"}, {"*1\r\n+ab\r\n"}, {"+ab\r\n"}, {"*2\r\n+ab\r\n+\r\n"}, {"*3\r\n+a\r\n+b\r\n*0\r\n"},
}

func TestDigestIsOfTheMeaning(t *testing.T) {
	group := map[uint64]int{}
	for i, replies := range alike {
		for _, reply := range replies {
			sum, err := Digest([]byte(reply))
			if err != nil {
				t.Errorf("%q: %v", reply, err)
				continue
			}
			if other, seen := group[sum]; seen && other != i {
				t.Errorf("%q has the digest of %q", reply, alike[other][0])
			} else if !seen && reply != replies[0] {
				t.Errorf("%q has not the digest of %q", reply, replies[0])
			}
			group[sum] = i
		}
	}
}

func TestDigestRefusesErrors(t *testing.T) {
	for _, reply := range []string{"-ERR x\r\n", "!5\r\nERR x\r\n", "*2\r\n:1\r\n-ERR x\r\n", "*1\r\n*1\r\n!1\r\nx\r\n"} {
		if sum, err := Digest([]byte(reply)); !errors.Is(err, ErrErrorReply) || sum != 0 {
			t.Errorf("%q: %d, %v", reply, sum, err)
		}
	}
}

func TestDigestRefusesWhatIsNotOneReply(t *testing.T) {
	for _, bad := range append([]string{"", "+OK", "+OK\r\n+OK\r\n", "$3\r\nab", "*2\r\n+a\r\n", "*1099511627776\r\n:1\r\n", "*?\r\n+a\r\n"}, badReplies...) {
		if sum, err := Digest([]byte(bad)); err == nil || errors.Is(err, ErrErrorReply) {
			t.Errorf("%.60q: %d, %v", bad, sum, err)
		}
	}
}

// BenchmarkDigest makes what replies are compared by.
func BenchmarkDigest(b *testing.B) {
	for name, reply := range map[string]string{
		"status": "+OK\r\n", "integer": ":123\r\n", "score": "$4\r\n1.25\r\n",
		"bulk64": "$64\r\n" + string(make([]byte, 64)) + "\r\n",
		"list10": string(AppendCommand(nil, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")),
	} {
		b.Run("reply="+name, func(b *testing.B) {
			b.ReportAllocs()
			reply := []byte(reply)
			for b.Loop() {
				if _, err := Digest(reply); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
