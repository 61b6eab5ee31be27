import { buildPrograms } from "./programs.ts";

// `npm run test:cluster` and `.ci/run`: a cold build of kube-apiserver takes 25 CPU minutes.
buildPrograms((line) => console.log(line));
