/** Tasks whose answers repeat much of their prompt, as a person would ask them. */
export const TASKS: readonly { readonly name: string; readonly prompt: string }[] = [
  {
    name: 'edit JavaScript',
    prompt: `Change the name of the variable "total" to "sum" in this code. Repeat the whole code.

\`\`\`js
export function summarize(orders) {
  let total = 0;
  const byCustomer = new Map();
  for (const order of orders) {
    if (order.status !== 'paid') continue;
    total += order.amount;
    const list = byCustomer.get(order.customer) ?? [];
    list.push(order);
    byCustomer.set(order.customer, list);
  }
  const customers = [...byCustomer.keys()].sort();
  return { total, customers, average: total / orders.length };
}
\`\`\``,
  },
  {
    name: 'edit Python',
    prompt: `Add a docstring to the function in this code. Repeat the whole code.

\`\`\`python
import csv
from collections import defaultdict

def read_prices(path):
    prices = defaultdict(list)
    with open(path, newline='') as file:
        for row in csv.DictReader(file):
            if not row['price']:
                continue
            prices[row['product']].append(float(row['price']))
    return {product: sum(values) / len(values) for product, values in prices.items()}
\`\`\``,
  },
  {
    name: 'summary with quotes',
    prompt: `Quote the two most important sentences of this text word for word.

The harbor of the town was built in 1874, after a storm had destroyed most of the fishing boats. For the first thirty years only sailing ships used it. In 1905 the railway reached the town, and coal from the mines in the north was loaded here into steamers. The harbor employed more than two thousand people before the war. After the mines had closed in 1962, the last cranes were taken down, and the warehouses stood empty for decades. Today the warehouses hold a museum, a library and forty apartments, and a ferry leaves for the islands each morning.`,
  },
  {
    name: 'correct a letter',
    prompt: `Correct the spelling of this letter. Change nothing else.

Dear Ms. Novak,

thank you for your letter of the third of March. We have looked into the delivery that you did not recieve. The parcel was handed to a neighbor at the house with the number 14, because nobody opened the door at yours. Please ask there first. If the neighbor does not have the parcel, write to us again, and we will send the same goods once more without any cost to you.

Sincerly,
Peter Adams`,
  },
];
