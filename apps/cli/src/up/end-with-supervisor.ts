// Loaded before each program that the supervisor starts (`node --import`): when the supervisor is gone, even by SIGKILL,
// its end of the channel closes, and the program stops as if it had been told to.
// A worker may have tasks to checkpoint.
const LAST_WORD_MS = 75_000

process.once('disconnect', () => {
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_WORD_MS).unref()
})
// A listener of 'disconnect' keeps the loop alive; a program that is done should end.
process.channel?.unref()
