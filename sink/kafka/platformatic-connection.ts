import { isIP } from "node:net";
import {
  apiVersionsV3,
  Connection,
  ConnectionStatuses,
  GenericError,
  AuthenticationError as LibraryAuthenticationError,
  ResponseError,
} from "@platformatic/kafka";
import { requireVersions } from "./broker-versions.ts";
import type { KafkaConnection } from "./port.ts";
import { AuthenticationError, ConnectionError, UnsupportedBrokerError } from "./protocol.ts";

const connectTimeoutMs = 5_000;
/** Shown by the broker's own metrics of its clients. */
const [clientName, clientVersion] = ["audit-sink", "1"] as const;
/** The library's own; ours are shorter and given with each call. */
const libraryTimeoutMs = 600_000;

/** Connected, authenticated, and one we can speak to. Throws ConnectionError, AuthenticationError, UnsupportedBrokerError. */
export async function open(settings: KafkaConnection, host: string, port: number): Promise<Connection> {
  const { tls, sasl, clientId } = settings;
  const connection = new Connection(clientId, {
    connectTimeout: connectTimeoutMs,
    requestTimeout: libraryTimeoutMs,
    ...(tls && { tls: { ca: tls.ca, cert: tls.cert, key: tls.key } }),
    ...(tls && { tlsServerName: serverName(tls, host) }),
    ...(sasl && { sasl }),
  });
  // Requests only say that it was closed; without a listener an error would end the process.
  let said: Error | undefined;
  connection.on("error", (error) => {
    said ??= error;
  });
  try {
    await connection.connect(host, port);
    await checkVersions(connection, `${host}:${port}`);
    return connection;
  } catch (error) {
    connection.socket?.destroy();
    const doing = `Connecting to ${host}:${port}`;
    if (error instanceof ConnectionError && said !== undefined) throw new ConnectionError(doing, { cause: said });
    if (error instanceof UnsupportedBrokerError || error instanceof ConnectionError) throw error;
    throw fromLibrary(error, doing);
  }
}

/** Brokers may ask for the login again, at any time in a connection's life: what is sent meanwhile would end it. */
export function isUsable(connection: Connection): boolean | Promise<boolean> {
  if (connection.status !== ConnectionStatuses.REAUTHENTICATING) return connection.isConnected();
  return connection.ready().then(
    () => true,
    () => false,
  );
}

/** Some clusters are told apart by the name alone (SNI), which TLS has no room for where it is an address. */
const serverName = (tls: NonNullable<KafkaConnection["tls"]>, host: string) =>
  tls.serverName ?? (isIP(host) === 0 ? host : false);

async function checkVersions(connection: Connection, address: string): Promise<void> {
  const { api } = apiVersionsV3;
  const { apiKeys } = await call(connection, connectTimeoutMs, "ApiVersions", api, clientName, clientVersion);
  requireVersions(address, (key) => {
    const spoken = apiKeys.find(({ apiKey }) => apiKey === key);
    return spoken && { min: spoken.minVersion, max: spoken.maxVersion };
  });
}

/** What the library's `createAPI` makes. */
export interface Api<Args extends unknown[], Answer> {
  readonly async: (connection: Connection, ...args: Args) => Promise<Answer>;
}

export const call = <Args extends unknown[], Answer>(
  connection: Connection,
  timeoutMs: number,
  name: string,
  api: Api<Args, Answer>,
  ...args: Args
): Promise<Answer> => inTime(connection, timeoutMs, name, api.async(connection, ...args));

/** An answer that carries error codes is an answer: the caller reads them. Without one in time the connection is dropped. */
async function inTime<Answer>(
  connection: Connection,
  timeoutMs: number,
  name: string,
  answer: Promise<Answer>,
): Promise<Answer> {
  const where = `${name} to ${connection.host}:${connection.port}`;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    connection.socket.destroy();
    reject(new ConnectionError(`${where}: no answer within ${Math.round(timeoutMs)} ms`));
  }, timeoutMs);
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    if (error instanceof ConnectionError) throw error;
    const { response } = error as { response?: Answer };
    if (error instanceof ResponseError && response !== undefined) return response;
    throw fromLibrary(error, where);
  } finally {
    clearTimeout(timer);
  }
}

function fromLibrary(error: unknown, doing: string): Error {
  const found = error instanceof GenericError || error instanceof AggregateError ? error : undefined;
  const refused = deepest(error).some((cause) => cause instanceof LibraryAuthenticationError);
  if (refused) return new AuthenticationError(`${doing}: the broker refused the credentials`, { cause: error });
  const why = found?.message ?? (error instanceof Error ? error.message : String(error));
  return new ConnectionError(`${doing}: ${why}`, { cause: error });
}

function deepest(error: unknown): unknown[] {
  return error instanceof Error ? [error, ...deepest(error.cause)] : [];
}
