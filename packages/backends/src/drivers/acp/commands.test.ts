import { expect, test } from 'vitest'
import { commandsOf } from './commands.ts'

test.each([
  ['ls', ['ls']],
  ['cd x && git push;  echo  done', ['cd x', 'git push', 'echo done']],
  ['cat a | sh & wait', ['cat a', 'sh', 'wait']],
  ['echo done > asked.txt 2>&1', ['echo done > asked.txt 2>&1']],
  ['git commit -m "a; b" -m \'c && d\'', ['git commit -m "a; b" -m \'c && d\'']],
  ['if true; then FOO=1 git \\\n push; fi', ['true', 'git push', 'fi']],
  ['', []],
])('the commands of %j', (line, commands) => {
  expect(commandsOf(line)).toEqual(commands)
})

test.each([
  'echo $(git push)', 'echo `git push`', 'echo "$(git push)"', 'echo "`git push`"', '(git push)', '{ git push; }', 'echo "$(date)" && git push "x"', 'echo "$(date); it\'s" && git push \'x\'',
  'echo $\'\\\'\' && git push && echo \'\'', '# it\'s\ngit push \'x\'', 'cat <<E\nit\'s\nE\ngit push \'x\'', 'true &&git push', 'true\n\tgit push', '\'a\' ; git push',
])('no quote, comment or here-document hides a command: %j (G14)', (line) => {
  expect(commandsOf(line).filter((command) => command.startsWith('git push'))).not.toEqual([])
})

test('a line that is made to take for ever does not', () => {
  for (const part of ['"', '\'', '"$(', '\\"', '`', '$\'']) expect(commandsOf(part.repeat(8_000)).length).toBeLessThan(20_000)
})
