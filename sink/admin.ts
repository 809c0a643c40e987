import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "@prometheus-io/client";

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly isReady: () => boolean;
  /** What is in the way, a line for each; it does not decide whether we are ready. */
  readonly trouble: () => string;
}

/**
 * `/healthz` says that the event loop turns and nothing else: a restart helps against no back-end's failure. `/readyz` is
 * true once store and broker were reached and the group was joined. It says what is in the way, too.
 */
export async function serveAdmin({ host, port, registry, isReady, trouble }: AdminOptions): Promise<AdminServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/healthz") return answer(response, 200, "ok\n");
    if (path === "/readyz") {
      const [status, verdict] = isReady() ? [200, "ready"] : [503, "not ready"];
      return answer(response, status, `${verdict}\n${trouble()}`);
    }
    if (path !== "/metrics") return answer(response, 404, "not found\n");
    registry.metrics().then(
      (text) => answer(response, 200, text, registry.contentType),
      () => answer(response, 500, "metrics failed\n"),
    );
  });
  server.requestTimeout = 10_000;

  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(port, host, listening.resolve);
  await listening.promise;
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, body: string, contentType = "text/plain"): void {
  response.writeHead(status, { "content-type": contentType }).end(body);
}
