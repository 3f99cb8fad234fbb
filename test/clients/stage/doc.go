// Package stage lets scenarios of real clients play through a whole migration.
//
// A Stage is two servers, the program between them, and some Parts: each a workload that checks every reply it
// gets against what it must be, with keys of its own. All parts play at once while the stage walks through the
// phases:
//
//	passthrough → backfill → synced → cutover → reversed → rollback → synced → cutover → reversed
//
// In each phase every part has to get some rounds done. At the end both keyspaces are compared. What a client
// sees as an error, a wrong reply or a hang fails the test, and so does a key that differs.
//
// With TANDEM_TEST_DIRECT set the parts play against a server without the program: that says whether a scenario
// itself is right. TANDEM_TEST_PARTS, a regular expression, chooses parts.
package stage
