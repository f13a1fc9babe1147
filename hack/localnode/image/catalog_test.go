package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func program(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMalformedMappingIsRefused(t *testing.T) {
	t.Parallel()
	for _, mapping := range []string{"", "image", "=path", "image="} {
		if _, err := Parse([]string{mapping}); err == nil || !strings.Contains(err.Error(), "REF=PATH") {
			t.Errorf("Parse(%q): got %v", mapping, err)
		}
	}
}

func TestLongestMappingThatEndsAtABoundaryWins(t *testing.T) {
	t.Parallel()
	short, long := program(t, 0o755), program(t, 0o755)
	catalog, err := Parse([]string{"example.test/mail=" + short, "example.test/mail/sync:v2=" + long, "busybox=host", "local/=" + long})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]Program{
		"example.test/mail":           {Path: short, NeedsHost: true},
		"example.test/mail:v1":        {Path: short, NeedsHost: true},
		"example.test/mail@sha256:00": {Path: short, NeedsHost: true},
		"example.test/mail/sync:v2":   {Path: long, NeedsHost: true},
		"example.test/mail/sync:v20":  {Path: short, NeedsHost: true},
		"local/anything":              {Path: long, NeedsHost: true},
		"busybox:1.36":                {NeedsHost: true},
	} {
		got, err := catalog.Resolve(image)
		if err != nil {
			t.Errorf("%s: %v", image, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", image, diff)
		}
	}
}

func TestUnknownImageIsNamedWithItsRemedy(t *testing.T) {
	t.Parallel()
	catalog, err := Parse([]string{"example.test/mail=host"})
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"example.test/mailer:v1", "other:5000/x:v1@sha256:00"} {
		_, err := catalog.Resolve(image)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), image) || !strings.Contains(err.Error(), "--image") {
			t.Errorf("%s: got %v", image, err)
		}
	}
	if got := repository("other:5000/x:v1@sha256:00"); got != "other:5000/x" {
		t.Errorf("repository: got %q", got)
	}
}

func TestMappedFileThatCannotRunIsNamed(t *testing.T) {
	t.Parallel()
	catalog, err := Parse([]string{"a=" + program(t, 0o644), "b=" + t.TempDir(), "c=/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"a", "b", "c"} {
		if _, err := catalog.Resolve(image); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: got %v", image, err)
		}
	}
}

func TestStaticBinaryNeedsNothingOfTheHost(t *testing.T) {
	t.Parallel()
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	for kind, want := range map[elf.ProgType]bool{elf.PT_LOAD: false, elf.PT_INTERP: true} {
		var file bytes.Buffer
		for _, part := range []any{header, elf.Prog64{Type: uint32(kind)}} {
			if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, file.Bytes(), 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := Catalog{"image": path}.Resolve("image")
		if err != nil || got.NeedsHost != want {
			t.Errorf("%s: got %+v, %v", kind, got, err)
		}
	}
	if !dynamic("/does/not/exist") {
		t.Error("a file that cannot be read must count as dynamic")
	}
}
