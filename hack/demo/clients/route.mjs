// Reaches the regions of a demonstration by their names, as curl does with --connect-to
// and --cacert. Hosts that the access document does not name are not dialled.
import { readFileSync } from "node:fs";
import { Agent, buildConnector, fetch } from "undici";

// routed returns a fetch function for the people of an access document, and a function
// that closes its connections.
export function routed(people) {
  const routes = new Map();
  for (const { sessionUrl, connect, caFile } of people) {
    const at = connect.lastIndexOf(":");
    routes.set(new URL(sessionUrl).hostname, {
      address: connect.slice(0, at),
      port: connect.slice(at + 1),
      dial: buildConnector({ ca: readFileSync(caFile), timeout: 30_000 }),
    });
  }
  const dispatcher = new Agent({
    connect(options, callback) {
      const route = routes.get(options.hostname);
      if (!route) {
        callback(new Error(`dial "${options.hostname}": no region of the demonstration listens there`), null);
        return;
      }
      route.dial({ ...options, servername: options.hostname, hostname: route.address, port: route.port }, callback);
    },
  });
  return {
    fetch: (resource, init) => fetch(resource, { ...init, dispatcher }),
    close: () => dispatcher.close(),
  };
}
