# Installs the book into an empty prefix, copies the examples out of the tree, builds them there with nothing but find_package and
# runs them: cmake -DBUILD=... -DSOURCE=... -P book_install_test.cmake
set(place "$ENV{TMPDIR}")
if(NOT place)
  set(place /tmp)
endif()
string(RANDOM LENGTH 12 name)
set(place "${place}/heptane-book-${name}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    file(REMOVE_RECURSE "${place}")
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect)
  run("${place}/build/${ARGV0}")
  if(NOT output STREQUAL "${ARGV1}")
    file(REMOVE_RECURSE "${place}")
    message(FATAL_ERROR "${ARGV0} printed\n${output}\nand not\n${ARGV1}")
  endif()
endfunction()

run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${place}/prefix" --component heptane_book)
file(GLOB_RECURSE headers RELATIVE "${place}/prefix/include" "${place}/prefix/include/*")
if(NOT headers STREQUAL "heptane/book.h;heptane/book_c.h")
  message(FATAL_ERROR "installed headers: ${headers}")
endif()
file(COPY "${SOURCE}/examples/book/" DESTINATION "${place}/source")
run("${CMAKE_COMMAND}" -S "${place}/source" -B "${place}/build" "-DCMAKE_PREFIX_PATH=${place}/prefix" -DCMAKE_BUILD_TYPE=Release)
run("${CMAKE_COMMAND}" --build "${place}/build")
expect(cross "trade 1: 5 lots at 101, order 3 against 2
trade 2: 3 lots at 103, order 3 against 1
order 1 again: an order with this id is in the book
restored: the same book
")
expect(call "would trade 10 at 101
order 1 bought 5 at 101 from order 3
order 1 bought 5 at 101 from order 4
2 orders are left
")
file(REMOVE_RECURSE "${place}")
message(STATUS "installed, built and ran")
