import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A server that few files of a run need: started at the first question, and the answer tells all of them where it is. */
export interface LazyServer {
  readonly url: string;
  /** Ends it, where it was started. */
  close(): Promise<void>;
}

export async function lazyServer<T>(
  start: () => Promise<{ readonly answer: T; remove(): Promise<void> }>,
): Promise<LazyServer> {
  let started: ReturnType<typeof start> | undefined;
  const server = createServer((_, response) => {
    started ??= start();
    started.then(
      ({ answer }) => response.end(JSON.stringify(answer)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async close() {
      server.closeAllConnections();
      server.close();
      const running = await started?.catch(() => undefined);
      await running?.remove();
    },
  };
}
