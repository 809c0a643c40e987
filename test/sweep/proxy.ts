import { connect, createServer, type Socket } from "node:net";
import type { Life } from "./life.ts";

/** One connection seen from its protocol: what to pass on of what each side sent. */
export interface Conversation {
  /** The bytes that go on to the server; undefined: the client just died. */
  fromClient(chunk: Buffer): Buffer | undefined;
  fromServer(chunk: Buffer): Buffer | undefined;
}

export interface MortalProxy {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Stands between the operator and a server. Connections belong to the life they were made in: with it all of them break
 * off, on both sides at once, as the kernel does for a killed process.
 */
export async function mortalProxy(
  target: { host: string; port: number },
  life: () => Life,
  converse: (life: Life, ownPort: () => number) => Conversation,
): Promise<MortalProxy> {
  const sockets = new Set<Socket>();
  let port = 0;
  const server = createServer((client) => {
    const mine = life();
    if (mine.isDead) {
      client.destroy();
      return;
    }
    const upstream = connect(target.port, target.host);
    const conversation = converse(mine, () => port);
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    const forget = mine.onDeath(end);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        sockets.delete(socket);
        forget();
        end();
      });
    }
    client.on("data", (chunk) => forward(conversation.fromClient(chunk), upstream));
    upstream.on("data", (chunk) => forward(conversation.fromServer(chunk), client));
  });
  port = await new Promise<number>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("No port"));
      else resolve(address.port);
    });
  });
  return {
    port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function forward(bytes: Buffer | undefined, to: Socket): void {
  if (bytes !== undefined && bytes.length > 0 && !to.destroyed) to.write(bytes);
}
