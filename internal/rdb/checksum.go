package rdb

import (
	"encoding/binary"
	"hash/crc64"
)

// jones is the polynomial of the servers' CRC-64, in the bit order of package crc64; of sliced, the nth tells what a byte
// comes to that n others follow. With them 8 bytes are taken at a time, which package crc64 does for its own polynomials only.
var (
	jones  = crc64.MakeTable(0x95ac9329ac4bc9b5)
	sliced = makeSlices()
)

func makeSlices() *[8]crc64.Table {
	var t [8]crc64.Table
	t[0] = *jones
	for i := range 256 {
		crc := jones[i]
		for n := 1; n < 8; n++ {
			crc = jones[byte(crc)] ^ crc>>8
			t[n][i] = crc
		}
	}
	return &t
}

// checksum is the servers' CRC-64: from 0, and not inverted at the end.
func checksum(p []byte) (crc uint64) {
	t := sliced
	for len(p) >= 8 {
		crc ^= binary.LittleEndian.Uint64(p)
		crc = t[7][byte(crc)] ^ t[6][byte(crc>>8)] ^ t[5][byte(crc>>16)] ^ t[4][byte(crc>>24)] ^
			t[3][byte(crc>>32)] ^ t[2][byte(crc>>40)] ^ t[1][byte(crc>>48)] ^ t[0][crc>>56]
		p = p[8:]
	}
	for _, b := range p {
		crc = jones[byte(crc)^b] ^ crc>>8
	}
	return crc
}
