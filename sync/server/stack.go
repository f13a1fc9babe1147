package server

// deep is how much of the stack a request needs that reaches the store: with it, the
// stack of the goroutine comes to 32 KiB.
const deep = 16 << 10

// grow has the runtime give the goroutine of a request the stack that it will need, while
// there is little on it to move: otherwise it grows several times on the way down, which
// takes longer than to ask the store.
//
//go:noinline
func grow(at int) byte {
	var room [deep]byte
	room[at%deep] = 1
	return room[(at+1)%deep]
}
