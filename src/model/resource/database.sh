# Talks to the database server as its root, over the local socket: SQL in on standard input, raw
# rows out. Ends with status 75 while there is nothing to talk to, 77 when root is turned away.
client=$(command -v mariadb || command -v mysql) || {
    echo 'no database client is installed yet'
    exit 75
}
sql() {
    answer=$("$client" --user=root --no-auto-rehash --batch --raw --skip-column-names \
        --default-character-set=utf8 --connect-timeout=10 2>&1) && {
        [ -z "$answer" ] || printf '%s\n' "$answer"
        return 0
    }
    case $answer in
        *'ERROR 2002 '* | *'ERROR 2003 '* | *'ERROR 2006 '* | *'ERROR 2013 '* | *'ERROR 1053 '*)
            echo 'the database server is not up yet'
            exit 75
            ;;
        *'ERROR 1045 '* | *'ERROR 1698 '*)
            echo "the database server does not let root in: ${answer##*ERROR}"
            exit 77
            ;;
    esac
    printf '%s\n' "$answer" | grep ERROR
    return 1
}
