package rdb

const (
	// rawID is a stream's id where it has a fixed size: two numbers of eight bytes.
	rawID = 16
	// rawTime is a time, Unix ms.
	rawTime = 8
)

// stream writes a stream of one form in an older one. The entries stand the same in all; what is left out is what the
// older servers do not keep:
//
//	1  nodes, length, last id, groups{name, last id, pending, consumers{name, seen, pending}}
//	2  also the first id, the greatest deleted id, how many were ever added, and how many each group has read
//	3  also when a consumer was last given something
func (w *writing) stream(from, to int) {
	nodes := w.count(2)
	w.putLength(uint64(nodes))
	for ; nodes > 0 && !w.full(); nodes-- {
		w.copyString() // its id
		w.copyString() // its listpack
	}
	w.copyNumbers(3)
	if from >= 2 {
		more := w.out
		w.copyNumbers(5)
		if to < 2 {
			w.out = more
		}
	}
	groups := w.count(4)
	w.putLength(uint64(groups))
	for ; groups > 0 && !w.full(); groups-- {
		w.group(from, to)
	}
}

func (w *writing) group(from, to int) {
	w.copyString()
	w.copyNumbers(2)
	if from >= 2 {
		read := w.out
		w.copyNumbers(1)
		if to < 2 {
			w.out = read
		}
	}
	pending := w.count(rawID + rawTime + 1)
	w.putLength(uint64(pending))
	for ; pending > 0 && !w.full(); pending-- {
		w.out = append(w.out, w.take(rawID+rawTime)...)
		w.copyNumbers(1)
	}
	consumers := w.count(1 + rawTime)
	w.putLength(uint64(consumers))
	for ; consumers > 0 && !w.full(); consumers-- {
		w.copyString()
		w.out = append(w.out, w.take(rawTime)...)
		if from >= 3 {
			active := w.take(rawTime)
			if to >= 3 {
				w.out = append(w.out, active...)
			}
		}
		own := w.count(rawID)
		w.putLength(uint64(own))
		w.out = append(w.out, w.take(uint64(own)*rawID)...)
	}
}

// copyString writes the next string as it stands.
func (w *writing) copyString() { w.out = append(w.out, w.encoded()...) }

// copyNumbers writes the next n numbers. That an id was never given is the greatest of all, which is a length as well.
func (w *writing) copyNumbers(n int) {
	for ; n > 0; n-- {
		w.putLength(w.number())
	}
}
