import type { Task } from '@longshore/contracts'
import { answer, type Way } from './answer.ts'
import { type Answer, type Ground, Refusal, type TaskWish, type Wish } from './deed.ts'
import { type Deed, ruleOf } from './deeds.ts'
import { status } from './look.ts'
import { setRollout, showRollout } from './split.ts'
import { cancel, pause, resume, say } from './steer.ts'
import type { Target } from './target.ts'

interface Asked { deed: Exclude<Deed, 'help'>; wish: Wish; way: { way: Way } | undefined; target: Target | undefined }

/** Does what somebody who may asks for. @throws Refusal when it cannot be done */
export async function doDeed(ground: Ground, { deed, wish, way, target }: Asked): Promise<Answer> {
  switch (deed) {
    case 'rollout': return showRollout(ground)
    case 'rollout set': return setRollout(ground, wish)
    case 'status': return status(ground, await forTask(ground, wish, deed, target))
    case 'chat': case 'say': return say(ground, await forTask(ground, wish, deed, target))
    case 'pause': return pause(ground, await forTask(ground, wish, deed, target))
    case 'resume': return resume(ground, await forTask(ground, wish, deed, target))
    case 'cancel': return cancel(ground, await forTask(ground, wish, deed, target))
    case 'approve': case 'deny': case 'answer': return answer(ground, deed, await forTask(ground, wish, deed, target))
    case 'react': return answer(ground, way?.way ?? 'answer', await forTask(ground, wish, deed, target))
  }
}

async function forTask({ ledger }: Ground, wish: Wish, deed: Deed, target: Target | undefined): Promise<TaskWish> {
  if (target === undefined) throw new Refusal(`${ruleOf(deed).usage} is about a task: say it in the task's thread, or as a reply to its card.`)
  const task: Task | undefined = await ledger.get(target.taskId)
  if (task === undefined) throw new Refusal('This task is not known here any more.')
  return { ...wish, task, inputId: target.kind === 'question' ? target.inputId : undefined }
}
