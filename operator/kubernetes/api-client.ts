import { createHash } from "node:crypto";
import type { RequestOptions } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeConfig } from "@kubernetes/client-node";
import { Agent, type Dispatcher, ProxyAgent } from "undici";
import { type ApiStatus, errorOf } from "./api-errors.ts";

/** One request to the API server. */
export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

export interface ApiClient {
  /** The parsed answer. @throws the port's errors, ApiError for any other answer, and the socket's own. */
  request<T>(call: Call): Promise<T>;
  /**
   * The lines of an answer that goes on, each as soon as it is there. Ends when the server ends it or the signal is
   * aborted; throws when nothing came for `WATCH_IDLE_MS`.
   */
  lines(call: Call, signal: AbortSignal): AsyncIterable<string>;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 30_000;
/** With bookmarks asked for, a server says something about once a minute: longer silence is a connection that died. */
export const WATCH_IDLE_MS = 180_000;
const THROTTLED_RETRIES = 5;
const LONGEST_PAUSE_MS = 10_000;

/**
 * The client library brings the configuration and every way to log in; its own requests open a connection each, and its
 * watch drops errors, so the requests are made here, on one pool of connections that lives as long as the credentials.
 */
export function apiClient(kubeConfig: KubeConfig): ApiClient {
  const server = kubeConfig.getCurrentCluster()?.server;
  if (server === undefined) throw new Error("The kubeconfig names no cluster for its current context");
  const base = new URL(server);
  const pool = connectionPool(kubeConfig, base);

  const send = async (call: Call, timeoutMs: number, signal?: AbortSignal) => {
    const { dispatcher, headers } = await pool.current();
    return dispatcher.request({
      ...{ origin: base.origin, path: target(base, call), method: call.method, bodyTimeout: timeoutMs },
      ...{ headersTimeout: REQUEST_TIMEOUT_MS, headers: { ...headers, ...contentHeaders(call) } },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  };

  return {
    async request<T>(call: Call): Promise<T> {
      for (let attempt = 0; ; attempt += 1) {
        const { statusCode, headers, body } = await send(call, REQUEST_TIMEOUT_MS);
        const text = await body.text();
        if (statusCode < 300) return (text === "" ? undefined : JSON.parse(text)) as T;
        // 429: the server did not take the request up, so it may be sent again whatever it was.
        if (statusCode === 429 && attempt < THROTTLED_RETRIES) await sleep(pauseOf(headers["retry-after"]));
        else throw errorOf(statusCode, statusOf(text), `${call.method} ${call.path}`);
      }
    },

    async *lines(call, signal) {
      try {
        const { statusCode, body } = await send(call, WATCH_IDLE_MS, signal);
        if (statusCode >= 300) throw errorOf(statusCode, statusOf(await body.text()), `${call.method} ${call.path}`);
        yield* linesOf(body);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },

    close: () => pool.close(),
  };
}

function target(base: URL, { path, query = {} }: Call): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, value);
  const prefix = base.pathname.replace(/\/$/, "");
  return search.size === 0 ? `${prefix}${path}` : `${prefix}${path}?${search.toString()}`;
}

const contentHeaders = ({ body, contentType = "application/json" }: Call) => ({
  accept: "application/json",
  "user-agent": "audit-pipeline-operator",
  ...(body === undefined ? {} : { "content-type": contentType }),
});

const pauseOf = (retryAfter: string | string[] | undefined) =>
  Math.min(Math.max(1, Number(retryAfter) || 1) * 1_000, LONGEST_PAUSE_MS);

/** A proxy in between may answer with something else than a Status. */
function statusOf(text: string): ApiStatus {
  try {
    return JSON.parse(text) as ApiStatus;
  } catch {
    return text === "" ? {} : { message: text.slice(0, 200) };
  }
}

async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((line) => line !== "");
  }
}

interface Pool {
  current(): Promise<{ dispatcher: Dispatcher; headers: Record<string, string> }>;
  close(): Promise<void>;
}

/** The connections of one TLS identity; a renewed client certificate or authority gets connections of its own. */
function connectionPool(kubeConfig: KubeConfig, base: URL): Pool {
  let present: { identity: string; dispatcher: Dispatcher } | undefined;
  return {
    async current() {
      const options: RequestOptions = {};
      await kubeConfig.applyToHTTPSOptions(options);
      const identity = identityOf(options);
      if (present?.identity !== identity) {
        // Requests under way end on the connections they have.
        void present?.dispatcher.close();
        present = { identity, dispatcher: dispatcherOf(options, kubeConfig, base) };
      }
      return { dispatcher: present.dispatcher, headers: headersOf(options) };
    },
    async close() {
      await present?.dispatcher.destroy();
    },
  };
}

function identityOf({ ca, cert, key, servername, rejectUnauthorized }: RequestOptions): string {
  const hash = createHash("sha256");
  // Authority, certificate and key are buffers here: the library reads them from file or kubeconfig.
  const parts = [ca, cert, key, servername, rejectUnauthorized];
  return hash.update(JSON.stringify(parts)).digest("hex");
}

function dispatcherOf(options: RequestOptions, kubeConfig: KubeConfig, base: URL): Dispatcher {
  const { ca, cert, key, passphrase, servername, rejectUnauthorized } = options;
  const stated = Object.entries({ ca, cert, key, passphrase, servername, rejectUnauthorized });
  const tls = Object.fromEntries(stated.filter(([, value]) => value !== undefined));
  const keepAlive = { keepAlive: true, keepAliveInitialDelay: 30_000 };
  const proxy = kubeConfig.getCurrentCluster()?.proxyUrl;
  if (proxy !== undefined) return new ProxyAgent({ uri: proxy, requestTls: tls, connect: keepAlive });
  if (base.protocol === "http:") return new Agent();
  return new Agent({ connect: { ...tls, ...keepAlive } });
}

function headersOf({ headers = {}, auth }: RequestOptions): Record<string, string> {
  const given = Object.entries(headers).map(([name, value]) => [name, String(value)]);
  const basic = typeof auth === "string" ? { authorization: `Basic ${Buffer.from(auth).toString("base64")}` } : {};
  return { ...Object.fromEntries(given), ...basic };
}
