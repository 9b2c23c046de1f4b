package memory

import "testing"

// A session folder may be anybody's.
func FuzzDecode(f *testing.F) {
	for _, d := range []*Document{
		Judge(1, nil),
		{SchemaVersion: SchemaVersion, Sites: []LivePlace{{Verdict: Leak, Functions: []string{"f"}, Growth: &Growth{}}, {Verdict: Steady}}},
	} {
		data, err := d.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Decode(data)
		if err != nil {
			return
		}
		for _, l := range d.Leaks() {
			if l.Verdict != Leak {
				t.Errorf("%q is told as a leak", l.Verdict)
			}
		}
		again, err := d.Encode()
		if err != nil {
			t.Fatalf("a document that was read cannot be written: %v", err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("a document that was written cannot be read: %v", err)
		}
	})
}
