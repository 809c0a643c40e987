import { type Broker, ConnectionError } from "./protocol.ts";

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
const bootstrapOrder = (seen: readonly Server[], bootstrap: readonly Server[]): readonly Server[] => [
  ...seen,
  ...bootstrap.filter(({ host, port }) => !seen.some((broker) => broker.host === host && broker.port === port)),
];

/** Asks one broker after the other until one answers; an error code is an answer. @throws ConnectionError */
export async function askAny<T>(
  seen: readonly Server[],
  bootstrap: readonly Server[],
  ask: (broker: Server) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const broker of bootstrapOrder(seen, bootstrap)) {
    try {
      return await ask(broker);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      failure = error;
    }
  }
  const servers = bootstrap.map(({ host, port }) => `${host}:${port}`).join(", ");
  throw new ConnectionError(`No Kafka broker answers; bootstrap servers: ${servers}`, { cause: failure });
}
