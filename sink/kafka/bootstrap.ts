import type { Broker } from "./protocol.ts";

type Server = Omit<Broker, "nodeId">;

/** `host:port` or `[address]:port`. */
export function parseServers(servers: readonly string[]): Server[] {
  return servers.map((server) => {
    const colon = server.lastIndexOf(":");
    const port = Number(server.slice(colon + 1));
    if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new Error(`Bootstrap server ${JSON.stringify(server)} is not of the form host:port`);
    }
    return { host: server.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port };
  });
}

/** The brokers last seen, then the bootstrap servers: a cluster may have moved away from either. */
export const bootstrapOrder = (seen: readonly Server[], bootstrap: readonly Server[]): readonly Server[] => [
  ...seen,
  ...bootstrap.filter(({ host, port }) => !seen.some((broker) => broker.host === host && broker.port === port)),
];
