package world

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bailiwick-dev/bailiwick/hack/demo/cast"
)

// Access tells programs how to use the demonstration.
type Access struct {
	Clouds []CloudAccess `json:"clouds"`
}

// CloudAccess is a cloud, with the people whose mail is in it.
type CloudAccess struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
	// IssuerCAFile holds the certificate that signed the one of the OpenID provider.
	IssuerCAFile string         `json:"issuerCAFile"`
	People       []PersonAccess `json:"people"`
}

// PersonAccess is what a mail client needs to use the mailbox of a person.
type PersonAccess struct {
	Address     string `json:"address"`
	Name        string `json:"name"`
	AccountID   string `json:"accountId"`
	AccountName string `json:"accountName"`
	// SessionURL is where the session starts, and Connect is the "host:port" where the
	// host of that URL listens; nothing resolves its name.
	SessionURL string `json:"sessionUrl"`
	Connect    string `json:"connect"`
	// CAFile holds the certificate that signed the one of the region.
	CAFile       string    `json:"caFile"`
	Token        string    `json:"token"`
	TokenExpires time.Time `json:"tokenExpires"`
	// NewToken is a command that prints another token, for as long as the demonstration
	// runs.
	NewToken string `json:"newToken"`
}

// Access signs everybody in and returns how to use their mail.
func (w *World) Access(ctx context.Context) (Access, error) {
	caFile := filepath.Join(w.Folder, "issuer-ca.crt")
	if err := os.WriteFile(caFile, w.Authority.PEM(), 0o600); err != nil {
		return Access{}, fmt.Errorf("CA of the OpenID providers: %w", err)
	}
	var all Access
	for _, issuer := range []cast.Issuer{cast.Worldwide(), cast.GCCHigh()} {
		cloud := CloudAccess{Name: issuer.Cloud, Issuer: issuer.URL(), IssuerCAFile: caFile}
		for _, r := range cast.Residents() {
			if r.Cloud != issuer.Cloud {
				continue
			}
			person, err := w.accessOf(ctx, r, caFile)
			if err != nil {
				return Access{}, err
			}
			cloud.People = append(cloud.People, person)
		}
		all.Clouds = append(all.Clouds, cloud)
	}
	return all, nil
}

func (w *World) accessOf(ctx context.Context, r cast.Resident, caFile string) (PersonAccess, error) {
	account, token, err := w.open(ctx, r)
	if err != nil {
		return PersonAccess{}, err
	}
	defer account.Close()
	program, err := os.Executable()
	if err != nil {
		return PersonAccess{}, fmt.Errorf("path of this program: %w", err)
	}
	region := w.Region(r.Region)
	return PersonAccess{
		Address: r.Email, Name: cast.Person(r.Email).Name, AccountID: account.ID(), AccountName: account.Name(),
		SessionURL: region.URL + "/.well-known/jmap", Connect: region.Listen, CAFile: region.CAFile,
		Token: token.AccessToken, TokenExpires: token.Expiry.UTC().Truncate(time.Second),
		NewToken: quote(program) + " --token=" + quote(r.Email) + " --issuer-ca=" + quote(caFile),
	}, nil
}

// quote makes one word of a shell of a text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// WriteAccess writes how to use everybody's mail to a file of this run, and returns its
// path and content.
func (w *World) WriteAccess(ctx context.Context) (path string, document []byte, err error) {
	all, err := w.Access(ctx)
	if err != nil {
		return "", nil, err
	}
	document, err = json.MarshalIndent(all, "", "  ")
	if err != nil {
		return "", nil, fmt.Errorf("access document: %w", err)
	}
	document = append(document, '\n')
	path = filepath.Join(w.Folder, "access.json")
	if err := os.WriteFile(path, document, 0o600); err != nil {
		return "", nil, fmt.Errorf("access document: %w", err)
	}
	return path, document, nil
}
