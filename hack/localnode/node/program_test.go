package node

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/bailiwick-dev/bailiwick/hack/localnode/sandbox"
)

// programName is the first argument by which the test binary knows that it is the program of a pod.
const programName = "program-of-a-pod"

func TestMain(m *testing.M) {
	sandbox.Shim()
	if len(os.Args) > 1 && os.Args[1] == programName {
		os.Exit(program(os.Args[2:]))
	}
	// Dependencies start these workers when they are loaded and never end them.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
}

// program is what the pods of these tests run: it writes, exits or serves files as its flags say.
func program(args []string) int {
	flags := flag.NewFlagSet(programName, flag.ExitOnError)
	say := flags.String("say", "", "text for standard output")
	write := flags.String("write", "", "file to write")
	text := flags.String("text", "", "content of the file")
	code := flags.Int("exit", -1, "exit code; a negative one serves")
	listen := flags.String("listen", "", "address to serve at")
	stubborn := flags.Bool("stubborn", false, "ignore SIGTERM")
	bye := flags.String("bye", "", "file to write at SIGTERM")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	fmt.Fprintln(os.Stderr, "arguments", len(args))
	if *say != "" {
		fmt.Println(*say)
	}
	if *write != "" {
		if err := os.WriteFile(*write, []byte(*text), 0o600); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	if *code >= 0 {
		return *code
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if *listen != "" {
		go func() {
			fmt.Println(http.ListenAndServe(*listen, http.HandlerFunc(answer)))
			os.Exit(2)
		}()
	}
	for range stop {
		if *stubborn {
			continue
		}
		if *bye != "" {
			_ = os.WriteFile(*bye, []byte("bye"), 0o600)
		}
		break
	}
	return 0
}

// answer serves a file, an environment variable, or ends the program.
func answer(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch r.URL.Path {
	case "/env":
		fmt.Fprint(w, os.Getenv(query.Get("name")))
	case "/exit":
		code, _ := strconv.Atoi(query.Get("code"))
		os.Exit(code)
	case "/say":
		fmt.Println(query.Get("text"))
	case "/file":
		data, err := os.ReadFile(filepath.Clean(query.Get("path")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	default:
		http.NotFound(w, r)
	}
}
