package identity

import (
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// Paths of the pages that the provider library leaves to its host.
const (
	loginPath  = "/login"
	devicePath = "/device"
	donePath   = "/done"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// page is what the one template shows: a form with a hidden or typed key and a
// button for each user, or a message.
type page struct {
	Title   string
	Message string
	Field   string // form field with the request id or user code
	Value   string
	Typed   bool // the person types the field
	Users   []User
	Deny    bool
}

// pages serves the login and device pages.
type pages struct {
	issuer   string
	storage  *storage
	callback string
}

func (p *pages) register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+loginPath, p.askLogin)
	mux.HandleFunc("POST "+loginPath, p.login)
	mux.HandleFunc("GET "+devicePath, p.askDevice)
	mux.HandleFunc("POST "+devicePath, p.device)
}

func (p *pages) askLogin(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, page{
		Title: "Sign in to " + p.issuer, Field: "request", Value: r.FormValue("request"), Users: p.storage.users.ordered,
	})
}

func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	id := r.PostFormValue("request")
	if err := p.storage.choose(id, r.PostFormValue("user")); err != nil {
		show(w, http.StatusBadRequest, page{Title: "Sign in failed", Message: err.Error()})
		return
	}
	back := p.callback + "?" + url.Values{"id": {id}}.Encode()
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (p *pages) askDevice(w http.ResponseWriter, r *http.Request) {
	code := r.FormValue("user_code")
	show(w, http.StatusOK, page{
		Title: "Connect a device to " + p.issuer, Field: "user_code", Value: code, Typed: true,
		Users: p.storage.users.ordered, Deny: true,
	})
}

func (p *pages) device(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	code := strings.ToUpper(strings.TrimSpace(r.PostFormValue("user_code")))
	user := r.PostFormValue("user")
	if user == "" && r.PostFormValue("deny") == "" {
		show(w, http.StatusBadRequest, page{Title: "Device not connected", Message: "user: choose one, or deny"})
		return
	}
	if err := p.storage.decide(code, user); err != nil {
		show(w, http.StatusBadRequest, page{Title: "Device not connected", Message: err.Error()})
		return
	}
	if user == "" {
		show(w, http.StatusOK, page{Title: "Device refused", Message: "The device gets no token."})
		return
	}
	show(w, http.StatusOK, page{Title: "Device connected", Message: "You can go back to the device."})
}

// formLimit bounds the forms of the two pages, in bytes.
const formLimit = 4 << 10

func show(w http.ResponseWriter, status int, content page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The header is out: a broken connection is the reader's loss alone.
	_ = pageTemplate.Execute(w, content)
}

// callbackURL is where the login page sends the browser back to.
func callbackURL(issuer string, provider op.OpenIDProvider) string {
	return provider.AuthorizationEndpoint().Absolute(issuer) + "/callback"
}
