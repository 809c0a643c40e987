import { requireVersions } from "./broker-versions.ts";
import {
  Broker,
  Connection,
  Encoder,
  type KafkaJsBroker,
  type KafkaJsConnection,
  socketFactory,
} from "./kafkajs-internals.ts";
import type { KafkaConnection } from "./port.ts";
import { AuthenticationError, BrokerError, ConnectionError } from "./protocol.ts";
import { WireReader } from "./wire.ts";

const connectTimeoutMs = 5_000;

/** A connection and kafkajs' view of the broker behind it, which knows the versions of the calls. */
export interface Link {
  readonly connection: KafkaJsConnection;
  readonly broker: KafkaJsBroker;
  readonly address: string;
  /** Monotonic milliseconds until which the broker takes requests on it: it may ask for the login again. */
  usableUntilMs: number;
}

/** For the connection alone: kafkajs logs in again in the middle of other requests, and takes their answers for its own. */
const NEVER_AGAIN_MS = -1e15;
/** Of a login's life; a request is sent a moment after we looked. */
const USED_FOR = 0.8;

export const isUsable = ({ connection, usableUntilMs }: Link): boolean =>
  connection.isConnected() && performance.now() < usableUntilMs;

const ignore = () => undefined;
const silent = { namespace: () => silent, debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Connected, authenticated, and one we can speak to. Throws ConnectionError, AuthenticationError, UnsupportedBrokerError. */
export async function open(settings: KafkaConnection, host: string, port: number): Promise<Link> {
  const { tls, sasl, clientId } = settings;
  const connection = new Connection({
    host,
    port,
    clientId,
    logger: silent,
    socketFactory: socketFactory(),
    connectionTimeout: connectTimeoutMs,
    requestTimeout: connectTimeoutMs,
    reauthenticationThreshold: NEVER_AGAIN_MS,
    enforceRequestTimeout: false, // a timer each 100 ms; `call` has one for each request
    ssl: tls && {
      ca: tls.ca,
      cert: tls.cert,
      key: tls.key,
      ...(tls.serverName && { servername: tls.serverName }),
    },
    sasl: sasl && { ...sasl },
  });
  stopIdleTimer(connection);
  const address = `${host}:${port}`;
  const broker = new Broker({ connectionPool: poolOf(connection, settings, host, port), logger: silent });
  const link = { connection, broker, address, usableUntilMs: Number.POSITIVE_INFINITY };
  try {
    await call(link, 2 * connectTimeoutMs, "Connecting", broker.connect());
    const lifeMs = Number(connection.sessionLifetime.toString());
    if (lifeMs > 0) link.usableUntilMs = performance.now() + USED_FOR * lifeMs;
    requireVersions(address, (key) => {
      const spoken = broker.versions?.[key];
      return spoken && { min: spoken.minVersion, max: spoken.maxVersion };
    });
    return link;
  } catch (error) {
    drop(link);
    throw error;
  }
}

/** What kafkajs' Broker asks of a pool, with one connection in it. */
const poolOf = (connection: KafkaJsConnection, { sasl }: KafkaConnection, host: string, port: number) => ({
  host,
  port,
  sasl,
  connectionTimeout: connectTimeoutMs,
  isConnected: () => connection.isConnected(),
  isAuthenticated: () => connection.isAuthenticated(),
  setVersions: (versions: unknown) => connection.setVersions(versions),
  setSupportAuthenticationProtocol: (is: boolean) => connection.setSupportAuthenticationProtocol(is),
  send: (request: Parameters<KafkaJsConnection["send"]>[0]) => connection.send(request),
  destroy: () => connection.disconnect(),
  async getConnection() {
    if (!connection.isConnected()) await connection.connect();
    return connection;
  },
});

/** kafkajs looks for queued requests every millisecond for ever; it has to only while there are some. */
function stopIdleTimer({ requestQueue }: KafkaJsConnection): void {
  const schedule = requestQueue.scheduleCheckPendingRequests.bind(requestQueue);
  requestQueue.scheduleCheckPendingRequests = () => {
    if (requestQueue.pending.length > 0 || requestQueue.throttledUntil > Date.now()) schedule();
  };
}

export function drop({ connection, address }: Link): void {
  connection.rejectRequests(new ConnectionError(`The connection to ${address} was given up`));
  connection.disconnect().catch(ignore);
  connection.socket?.destroy();
}

/** A call in a flexible version: header and answer have a section of tags, which kafkajs does not know of. */
export async function send<Answer>(
  { connection }: Link,
  apiName: string,
  { key: apiKey, version: apiVersion }: { readonly key: number; readonly version: number },
  body: Buffer,
  decode: (answer: Buffer) => Answer,
): Promise<Answer> {
  const encode = async () => {
    const encoder = new Encoder(body.length + 1);
    encoder.writeBufferInternal(Buffer.concat([Buffer.of(0), body]));
    return encoder;
  };
  const response = {
    async decode(payload: Buffer) {
      const reader = new WireReader(payload);
      reader.skipTags();
      return { answer: decode(payload.subarray(reader.position)) };
    },
    parse: async (decoded: { answer: Answer }) => decoded,
  };
  return (await connection.send({ request: { apiKey, apiVersion, apiName, encode }, response })).answer;
}

/** Without an answer in time the connection is dropped. */
export async function call<Answer>(
  link: Link,
  timeoutMs: number,
  name: string,
  answer: Promise<Answer>,
): Promise<Answer> {
  const where = `${name} to ${link.address}`;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new ConnectionError(`${where}: no answer within ${Math.round(timeoutMs)} ms`));
    drop(link);
  }, timeoutMs);
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    throw fromKafkaJs(error, where);
  } finally {
    clearTimeout(timer);
  }
}

function fromKafkaJs(error: unknown, where: string): Error {
  if (error instanceof ConnectionError) return error;
  const { name, type, code, message } = error as { name?: string; type?: string; code?: unknown; message?: string };
  if (name === "KafkaJSSASLAuthenticationError" || type === "SASL_AUTHENTICATION_FAILED") {
    return new AuthenticationError(`${where}: the broker refused the credentials`, { cause: error });
  }
  if (type !== undefined && typeof code === "number") return new BrokerError(code, where);
  return new ConnectionError(`${where}: ${message ?? String(error)}`, { cause: error });
}
