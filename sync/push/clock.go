package push

import "time"

// Clock tells the time and waits.
type Clock interface {
	// Now is the present time.
	Now() time.Time
	// After returns a channel that receives once d has passed; stop releases it.
	After(d time.Duration) (fires <-chan time.Time, stop func())
}

type systemClock struct{}

// Now is the present time.
func (systemClock) Now() time.Time { return time.Now() }

// After starts a timer.
func (systemClock) After(d time.Duration) (fires <-chan time.Time, stop func()) {
	timer := time.NewTimer(d)
	return timer.C, func() { timer.Stop() }
}
