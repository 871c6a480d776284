# Adds up the counts of the same word.
{ count[$2] += $1 }
END { for (word in count) printf "%d %s\n", count[word], word }
