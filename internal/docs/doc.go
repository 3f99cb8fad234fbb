// Package docs keeps the documents for users true. It is tests only: what a program can check of a page is
// checked here (links, command lines, settings, names), what a page says to type is run, on real servers, and the
// pages of docs/reference about metrics and about the commands of Redis are made from the code.
//
// What these tests need to know they ask the program itself, built once, or the packages that own it. They
// never repeat it, or a page could be wrong twice.
package docs

//go:generate go test . -run Reference -update
