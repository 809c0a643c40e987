import { pino } from "pino";
import { startToys } from "./toy.ts";

/** A standalone operator of toys as a process of its own, to be killed. Prints "Started" when it runs. */
const running = await startToys(process.argv[2] ?? "", pino({ level: "info" }, pino.destination(2)));
process.once("SIGTERM", () => void running.stop().then(() => process.exit(0)));
console.log("Started");
