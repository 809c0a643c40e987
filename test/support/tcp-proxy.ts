import { createServer, type Socket, connect as tcpConnect } from "node:net";

/** A TCP proxy whose answers can be held back, so that a test can lose them. */
export interface TcpProxy {
  readonly port: number;
  /** From now on nothing that the server answers is passed on. */
  swallowAnswers(): void;
  /** Once the client sends something that holds `bytes`, nothing that the server answers after it is passed on. */
  swallowAnswersAfter(bytes: string): void;
  /** Passes at most this many more bytes of the client on, on every connection; then it stalls, as a frozen client does. */
  stallClientAfter(bytes: number): void;
  /** Resolves once a client is stalled. */
  readonly stalled: Promise<void>;
  /** Cuts every connection and refuses new ones until `resume`: the server is down. */
  pause(): void;
  resume(): void;
  /** Cuts every connection, and passes answers on again on new ones. */
  cut(): void;
  close(): Promise<void>;
}

export async function tcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const stalled = Promise.withResolvers<void>();
  let swallow = false;
  let refusing = false;
  let trigger: string | undefined;
  let allowance = Number.POSITIVE_INFINITY;

  const server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = tcpConnect(target.port, target.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (data) => {
      if (trigger !== undefined && data.includes(trigger)) swallow = true;
      if (allowance < data.length) {
        upstream.write(data.subarray(0, allowance));
        client.pause();
        allowance = 0;
        stalled.resolve();
        return;
      }
      allowance -= data.length;
      upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (!swallow) client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("No port");

  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    stalled: stalled.promise,
    swallowAnswers: () => {
      swallow = true;
    },
    swallowAnswersAfter: (bytes) => {
      trigger = bytes;
    },
    stallClientAfter: (bytes) => {
      allowance = bytes;
    },
    pause() {
      refusing = true;
      destroyAll();
    },
    resume: () => {
      refusing = false;
    },
    cut() {
      swallow = false;
      trigger = undefined;
      allowance = Number.POSITIVE_INFINITY;
      destroyAll();
    },
    async close() {
      destroyAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
