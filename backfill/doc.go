// Package backfill moves what is already there: it copies keys from the primary to the secondary, sweeps
// whole keyspaces, and verifies that both sides hold the same.
//
//	Sweep ── pages of names ──► Copier ── DUMP, versioned ──► ledger.Sink ──► secondary
//	                              ▲
//	ledger: dirty keys ───────────┘        Verify ── makes keys dirty that differ (repair)
//
// It owns the reading connections to both instances and nothing else: what is exact, dirty or in flight is
// the ledger's, and every byte that reaches the secondary goes through the ledger's Sink. It never writes to
// an instance, and does no I/O under the ledger's lock.
package backfill
