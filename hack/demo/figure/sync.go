package figure

// byClient names a metric of the benchmarks that meet the sync server as clients do.
func byClient(benchmark, metric string) Source {
	return Source{Kind: Bench, Package: "./test/bench", Benchmark: benchmark, Metric: metric, Once: true}
}

// besidePeers is byClient for benchmarks that measure a peer in the same run.
func besidePeers(benchmark, metric string) Source {
	source := byClient(benchmark, metric)
	source.Peers = true
	return source
}

// changesOfOne names what it costs to tell one new email in an inbox of a size.
func changesOfOne(size string) Source {
	return Source{
		Kind: Bench, Package: "./sync/mail", Benchmark: "BenchmarkChangesOfOne", Metric: size + "-us/op", Once: true,
	}
}

// growth is how much more a question may cost in an inbox a thousand times as large.
const growth = 1.5

// sync returns the figures of the sync server. Ratios "_vs_peer" are the peer's cost divided by ours in one run.
func sync() []Figure {
	const inbox, cold, push = "BenchmarkInbox", "BenchmarkColdSync", "BenchmarkPush"
	return []Figure{
		{Name: "cold_sync_10k_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers(cold, "cold_sync_10k_vs_peer"), Scale: 1},
		{Name: "cold_sync_bytes_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers(cold, "cold_sync_bytes_vs_peer"), Scale: 1},
		{Name: "deliver_per_s_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers("BenchmarkDeliver", "deliver_per_s_vs_peer"), Scale: 1},
		{Name: "search_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers("BenchmarkSearch", "search_vs_peer"), Scale: 1},
		{Name: "idle_kib_per_connection_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers(push, "idle_kib_per_connection_vs_peer"), Scale: 1},
		{Name: "open_inbox_2k_p50_ms", Unit: "ms", Limit: 3, Source: besidePeers(inbox, "open_inbox_2k_p50_ms"), Scale: 1},
		{Name: "open_inbox_100k_p50_ms", Unit: "ms", Limit: 3, Source: byClient("BenchmarkLargeInbox", "open_inbox_100k_p50_ms"), Scale: 1},
		{Name: "open_inbox_vs_peer", Unit: "ratio", Goal: MoreThan, Limit: 1, Source: besidePeers(inbox, "open_inbox_vs_peer"), Scale: 1},
		{Name: "changes_noop_p50_ms", Unit: "ms", Limit: 0.3, Source: besidePeers(inbox, "changes_noop_p50_ms"), Scale: 1},
		{Name: "ingest_per_s", Unit: "messages/s", Goal: AtLeast, Limit: 1500, Source: besidePeers(inbox, "ingest_per_s"), Scale: 1},
		{Name: "write_amplification", Unit: "ratio", Limit: 3, Source: besidePeers(inbox, "write_amplification"), Scale: 1},
		{Name: "cold_list_bytes_per_message", Unit: "bytes", Limit: 90, Source: besidePeers(inbox, "cold_list_bytes_per_message"), Scale: 1},
		{Name: "changes_one_of_1k_us", Unit: "us", Goal: Told, Source: changesOfOne("1k"), Scale: 1},
		{Name: "changes_one_of_1m_us", Unit: "us", Limit: growth, Base: changesOfOne("1k"), Source: changesOfOne("1m"), Scale: 1},
		{Name: "push_p50_ms", Unit: "ms", Goal: Told, Source: besidePeers(push, "push_p50_ms"), Scale: 1},
		{Name: "push_p99_ms", Unit: "ms", Limit: 10, Source: besidePeers(push, "push_p99_ms"), Scale: 1},
		{Name: "rps_64_connections", Unit: "requests/s", Goal: Told, Source: byClient("BenchmarkRequests", "rps_64_connections"), Scale: 1},
		{Name: "idle_10k_mib", Unit: "MiB", Goal: LessThan, Limit: 1024, Source: besidePeers(push, "idle_10k_mib"), Scale: 1},
		{Name: "noisy_neighbour_p99_ratio", Unit: "ratio", Goal: LessThan, Limit: 2, Source: byClient("BenchmarkNoisyNeighbour", "noisy_neighbour_p99_ratio"), Scale: 1},
		{Name: "kill9_acknowledged_lost", Unit: "messages", Limit: 0, Source: byClient("BenchmarkKill", "kill9_acknowledged_lost"), Scale: 1},
	}
}
