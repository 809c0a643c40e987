import { createServer } from "node:http";
import { connect, createServer as listenOn } from "node:net";

/**
 * A process for the runner's tests: answers /readyz and /healthz on its admin port. It holds a socket named after its
 * pod, which the kernel frees when it dies; a second process of the same pod finds it taken and says so on that socket.
 */
const [behaviour = "serve"] = process.argv.slice(2);
const { TOY_DOUBLES = "", POD_UID = "", AUDIT_SINK__ADMIN__PORT = "0", AUDIT_SINK__ADMIN__HOST } = process.env;

console.log(`Started ${behaviour}`, process.env["VALUE"] ?? "");
if (behaviour === "crash") process.exit(3);
if (behaviour === "stubborn") process.on("SIGTERM", () => console.log("Ignored SIGTERM"));

listenOn()
  .once("error", () => connect(`\0${TOY_DOUBLES}`).once("error", () => process.exit(9)))
  .listen(`\0toy-${POD_UID}`);

createServer((_, response) => response.writeHead(behaviour === "unready" ? 503 : 200).end()).listen(
  Number(AUDIT_SINK__ADMIN__PORT),
  AUDIT_SINK__ADMIN__HOST,
);
