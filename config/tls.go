package config

import (
	"errors"
	"strings"

	"tandem/internal/instance"
	"tandem/internal/tlsconn"
)

// Enabled tells whether clients speak TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Files are the files of the listener.
func (t TLS) Files() tlsconn.Files {
	return tlsconn.Files{Cert: t.CertFile, Key: t.KeyFile, CA: t.ClientCAFile}
}

// TLSOptions are what a connection to the instance needs if its URL turns TLS on.
func (i Instance) TLSOptions(role instance.Role) tlsconn.ClientOptions {
	return i.TLS.options(string(role) + ".tls.")
}

// options are those of a connection whose settings begin with keys.
func (t InstanceTLS) options(keys string) tlsconn.ClientOptions {
	return tlsconn.ClientOptions{
		Files:      tlsconn.Files{Cert: t.CertFile, Key: t.KeyFile, CA: t.CAFile},
		ServerName: t.ServerName,
		Insecure:   t.InsecureSkipVerify,
		Keys:       keys,
	}
}

// keysOfRoles are the keys of the files, by what a tlsconn.FileError calls them.
func keysOfRoles(ca string) map[string]string {
	return map[string]string{"certificate": "cert_file", "key": "key_file", "CA": ca}
}

// listenerTLS checks TLS for those who connect, whose settings begin with prefix. plain says what they would do without.
func (v *validator) listenerTLS(prefix string, t TLS, plain string) {
	if t.CertFile == "" {
		for _, s := range []struct{ key, value string }{
			{"key_file", t.KeyFile}, {"client_ca_file", t.ClientCAFile}, {"client_auth", strings.TrimPrefix(t.ClientAuth, "off")},
		} {
			if s.value != "" {
				v.add(Problem{Key: prefix + s.key, Value: s.value, Wrong: "is set without " + prefix + "cert_file, so " + plain, Do: "set " + prefix + "cert_file too"})
			}
		}
		return
	}
	switch {
	case t.KeyFile == "":
		v.add(Problem{Key: prefix + "cert_file", Value: t.CertFile, Wrong: "is set without " + prefix + "key_file", Do: "name the file of its private key there"})
		return
	case t.ClientCAFile == "" && t.ClientAuth != "off":
		v.add(Problem{Key: prefix + "client_auth", Value: t.ClientAuth, Wrong: "is set without " + prefix + "client_ca_file", Do: "name the file of the authorities of clients' certificates there"})
	case t.ClientCAFile != "" && t.ClientAuth == "off":
		v.add(Problem{Key: prefix + "client_ca_file", Value: t.ClientCAFile, Wrong: "is set while " + prefix + "client_auth is off: nobody would be asked for a certificate",
			Do: "set " + prefix + "client_auth to required or optional"})
	}
	v.files(prefix, keysOfRoles("client_ca_file"), t.Files())
}

// instanceTLS checks TLS to one of the two servers.
func (v *validator) instanceTLS(role instance.Role, i Instance) {
	v.clientTLS(string(role)+".tls.", i.TLS, i.URL.TLS(), string(role)+".url does not begin with rediss://", "write rediss:// there")
}

// clientTLS checks TLS to a server, whose settings begin with prefix. off says why there is none unless it is on, and turnOn how
// there would be.
func (v *validator) clientTLS(prefix string, t InstanceTLS, on bool, off, turnOn string) {
	if !on {
		insecure := ""
		if t.InsecureSkipVerify {
			insecure = "true"
		}
		for _, s := range []struct{ key, value string }{
			{"ca_file", t.CAFile}, {"cert_file", t.CertFile}, {"key_file", t.KeyFile},
			{"server_name", t.ServerName}, {"insecure_skip_verify", insecure},
		} {
			if s.value != "" {
				v.add(Problem{Key: prefix + s.key, Value: s.value, Wrong: "is set while " + off, Do: turnOn + ", or remove this"})
			}
		}
		return
	}
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		v.add(Problem{Key: prefix + "cert_file", Value: t.CertFile, Wrong: "is set without " + prefix + "key_file", Do: "name the file of its private key there"})
		return
	case t.CertFile == "" && t.KeyFile != "":
		v.add(Problem{Key: prefix + "key_file", Value: t.KeyFile, Wrong: "is set without " + prefix + "cert_file", Do: "name the file of its certificate there"})
		return
	case t.InsecureSkipVerify && t.CAFile != "":
		v.add(Problem{Key: prefix + "ca_file", Value: t.CAFile, Wrong: "is set while " + prefix + "insecure_skip_verify is true: any certificate would be taken",
			Do: "remove one of them"})
	}
	v.files(prefix, keysOfRoles("ca_file"), t.options(prefix).Files)
}

// files reads the files that are named.
func (v *validator) files(prefix string, keys map[string]string, files tlsconn.Files) {
	err := files.Check()
	var file *tlsconn.FileError
	if errors.As(err, &file) {
		v.add(Problem{Key: prefix + keys[file.Role], Value: file.Path, Wrong: "cannot be used", Do: file.Err.Error()})
	}
}
