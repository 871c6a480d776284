# Counts words, in small letters; everything but letters parts them.
{
    $0 = tolower($0)
    gsub(/[^a-z]+/, " ")
    for (i = 1; i <= NF; i++) count[$i]++
}
END { for (word in count) print count[word], word }
